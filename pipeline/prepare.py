"""Download a dataset and write it to disk once: ``python -m pipeline.prepare dataset=mnist``.

    python -m pipeline.prepare dataset=cifar10 dataset.data_dir=/data
    python -m pipeline.prepare dataset=tfds dataset.name=kmnist

A second call says that it is already prepared.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pipeline import config
from pipeline.errors import ConfigError, UserError

CONF = Path(__file__).parents[1] / "conf"


@dataclass
class Prepare:
    """The whole config of ``pipeline.prepare``."""

    dataset: config.Dataset = field(default_factory=config.Dataset)


def configured(overrides: Sequence[str]) -> config.Dataset:
    """The dataset that ``overrides`` choose.

    Raises:
        ConfigError: an unknown key, group option or type, or no name.
    """
    config.register()
    ConfigStore.instance().store(name="prepare_schema", node=Prepare)
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            composed = compose("prepare", overrides=list(overrides))
        return cast(Prepare, OmegaConf.to_object(composed)).dataset
    except (HydraException, OmegaConfBaseException) as error:
        because = f"\n{error.__cause__}" if error.__cause__ else ""  # Hydra hides the reason there
        raise ConfigError(f"{error}{because}") from error


def main(overrides: Sequence[str]) -> None:
    dataset = configured(overrides)

    from pipeline.data import catalogue  # TensorFlow, once the config has been read

    before = catalogue.is_prepared(catalogue.open_builder(dataset))
    folder = catalogue.prepare(dataset)
    info = catalogue.open_builder(dataset).info
    sizes = ", ".join(f"{name} {split.num_examples:,}" for name, split in info.splits.items())
    done = "already prepared" if before else "prepared"
    print(f"{done} {info.full_name} at {folder}: {sizes}")


if __name__ == "__main__":
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(__doc__)
        sys.exit()
    try:
        main(sys.argv[1:])
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
