"""Download a dataset and write it to disk once: ``python -m pipeline.prepare dataset=mnist``.

    python -m pipeline.prepare dataset=cifar10 dataset.data_dir=/data
    python -m pipeline.prepare dataset=tfds dataset.name=kmnist

A second call says that it is already prepared.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from pipeline import config, preflight
from pipeline.cli import reporting
from pipeline.composing import compose
from pipeline.console import Console
from pipeline.errors import ConfigError


@dataclass
class Prepare:
    """The whole config of ``pipeline.prepare``."""

    dataset: config.Dataset = field(default_factory=config.Dataset)
    trusted_packages: list[str] = field(default_factory=list)  # dataset.module may be in these


def configured(overrides: Sequence[str]) -> config.Dataset:
    """The dataset that ``overrides`` choose.

    Raises:
        ConfigError: an unknown key or option, a wrong type, no name, or a module not trusted.
    """
    ConfigStore.instance().store(name="prepare_schema", node=Prepare)
    composed = compose("prepare", overrides)
    # Of the rules for training configs those about the dataset; the other groups are not here.
    for problem in preflight.find_problems(composed):
        if problem.startswith("dataset."):
            raise ConfigError(problem)
    return cast(Prepare, OmegaConf.to_object(composed)).dataset


def main(overrides: Sequence[str]) -> None:
    """Prepare the dataset; print where it is and how many examples each split has.

    Raises:
        UserError: a wrong config, or a dataset that cannot be prepared.
    """
    dataset = configured(overrides)

    from pipeline.data import catalogue  # heavy: once the config has been checked

    before = catalogue.is_prepared(catalogue.open_builder(dataset))
    folder = catalogue.prepare(dataset)
    info = catalogue.open_builder(dataset).info
    sizes = ", ".join(f"{name} {split.num_examples:,}" for name, split in info.splits.items())
    done = "already prepared" if before else "prepared"
    Console().line(f"{done} {info.full_name} at {folder}: {sizes}")


if __name__ == "__main__":
    if {"-h", "--help"} & set(sys.argv[1:]):
        Console().line(__doc__)
        sys.exit()
    sys.exit(reporting(lambda: main(sys.argv[1:])))
