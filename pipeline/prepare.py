"""Download a dataset and write it to disk once: ``python -m pipeline.prepare dataset=mnist``.

    python -m pipeline.prepare dataset=cifar10 dataset.data_dir=/data
    python -m pipeline.prepare dataset=tfds dataset.name=rock_paper_scissors

A second call says that it is already prepared. What ``dataset.mix`` names is prepared with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from omegaconf import OmegaConf

from pipeline import config, preflight
from pipeline.cli import verb
from pipeline.composing import compose
from pipeline.console import Console
from pipeline.errors import ConfigError
from pipeline.quiet import load_tensorflow


def configured(overrides: Sequence[str]) -> config.Dataset:
    """The dataset that ``overrides`` choose.

    Raises:
        ConfigError: an unknown key or option, a wrong type, no name, or a module not trusted.
    """
    composed = compose("prepare", overrides)
    # Of the rules for training configs those about the dataset; the other groups are not here.
    for problem in preflight.find_problems(composed):
        if problem.startswith("dataset."):
            raise ConfigError(problem)
    return cast(config.Prepare, OmegaConf.to_object(composed)).dataset


def main(overrides: Sequence[str]) -> None:
    """Prepare the dataset, and what it mixes in; print where each is and the size of each split.

    Raises:
        UserError: a wrong config, or a dataset that cannot be prepared.
    """
    dataset = configured(overrides)

    load_tensorflow()  # once the config has been checked
    from pipeline.data.mixed import as_dataset, told_of

    console = Console()
    console.line(_prepared(dataset))
    for name in dataset.mix:
        with told_of(name):
            console.line(_prepared(as_dataset(dataset, name)))


def _prepared(dataset: config.Dataset) -> str:
    from pipeline.data import catalogue

    before = catalogue.is_prepared(catalogue.open_builder(dataset))
    folder = catalogue.prepare(dataset)
    info = catalogue.open_builder(dataset).info
    sizes = ", ".join(f"{name} {split.num_examples:,}" for name, split in info.splits.items())
    done = "already prepared" if before else "prepared"
    return f"{done} {info.full_name} at {folder}: {sizes}"


if __name__ == "__main__":
    verb(main, __doc__)
