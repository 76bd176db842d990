"""Look at a dataset before training on it: ``python -m pipeline.data dataset=digits``.

    python -m pipeline.data dataset=cifar10 +augment=photographs to=pictures
    python -m pipeline.data dataset=imdb_reviews split=test examples=4
    python -m pipeline.data dataset=diamonds task=regression

Sizes, classes, statistics, tokens and duplicates, and a picture of examples: of the training split
before and after augmentation. Trains nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from pipeline import preflight
from pipeline.cli import verb
from pipeline.composing import compose
from pipeline.config import DataVerb, Train
from pipeline.console import Console
from pipeline.errors import ConfigError, did_you_mean
from pipeline.quiet import load_tensorflow

if TYPE_CHECKING:
    from pipeline.analysis.dataset_summary import Table
    from pipeline.data.prepared import Prepared
    from pipeline.describing import Described

SPLITS = ("train", "validation", "test")
MOST = 100  # examples of a picture


def configured(overrides: Sequence[str]) -> DictConfig:
    """What ``overrides`` choose, checked as far as that can be done without the data.

    Raises:
        ConfigError: an unknown key, a wrong type or value, a package that is not trusted.
    """
    config = compose("data", overrides)
    keys, valid = {str(key) for key in config}, {field.name for field in fields(DataVerb)}
    for key in sorted(keys - valid):
        raise ConfigError(f"{key}: there is no such key. {did_you_mean(key, valid)}")
    for key in sorted(valid - keys):
        raise ConfigError(f"{key}: taken away, but it is needed; leave out ~{key}")
    # The rules for training configs, of what is here and there.
    shared = keys & {field.name for field in fields(Train)}
    if config.task is None:
        shared.remove("task")
    for problem in preflight.find_problems(OmegaConf.masked_copy(config, sorted(shared))):
        key = problem.partition(":")[0]
        if key.partition(".")[0] in shared:
            raise ConfigError(problem)
    if config.split not in SPLITS:
        raise ConfigError(f"split={config.split}: {did_you_mean(config.split, SPLITS)}")
    if not 1 <= config.examples <= MOST:
        raise ConfigError(f"examples={config.examples}: a picture has from 1 to {MOST} examples.")
    return config


def main(overrides: Sequence[str]) -> None:
    """Draw examples, and print what there is to know of the dataset.

    Raises:
        UserError: a wrong config, or data that is not there or not what the config says.
    """
    config = configured(overrides)
    load_tensorflow()  # once the config has been checked
    from pipeline.describing import Described

    described = Described(_prepared(config))
    # All of it first, so that nothing is printed of what cannot be told to its end.
    pictures = draw(config, described)
    parts: list[tuple[Table | None, list[str]]] = [(described.splits(), []), described.balance()]
    parts += [(table, []) for table in described.numbers(config.split)]
    parts += [described.vocabulary(), described.buckets(), (described.steps(), [])]
    repeated = described.told_repeated()

    console = Console()
    console.facts(described.facts())
    for table, said in parts:
        if table is not None and table.rows:
            console.line(f"\n{table.title}")
            console.whole_table(table.columns, table.rows)
            for sentence in said:
                console.line(sentence)
    console.line()
    for sentence in [*repeated, *(f"picture: {path}" for path in pictures)]:
        console.line(sentence)


def _prepared(config: DictConfig) -> Prepared:
    from pipeline.data.catalogue import open_builder
    from pipeline.data.features import kind_of
    from pipeline.data_parts import prepare
    from pipeline.instantiating import make

    if config.task is None:
        return prepare(config, kind_of(open_builder(config.dataset), config.dataset))
    return prepare(config, make(config, "task").needs)


def draw(config: DictConfig, described: Described) -> list[Path]:
    """Write a picture of examples for each input that the model takes; returns where they are.

    Raises:
        ConfigError: the examples cannot be augmented, or ``to`` cannot be written.
    """
    import numpy as np

    from pipeline.analysis.example_pictures import captions, examples_picture
    from pipeline.data.samples import spread

    role, source = config.split, described.source
    rows = spread(described.samples.size(role), config.examples)
    count = len(rows)
    rows = np.resize(rows, count + count % 2)  # what is mixed needs a neighbour
    examples = described.samples.at(role, rows)
    before = described.samples.after_device_steps(examples.inputs)
    after, share = _augmented(config, before, len(rows))
    if examples.targets is not None and described.prepared.frame is None:
        names = source.class_names if source.classes else ()
        told = captions(examples.targets, names, share)
    else:
        told = [f"example {row:,}" for row in rows]
    stem = source.name if role == "train" else f"{source.name}-{role}"
    written = []
    for name, values in _named(before).items():
        picture = examples_picture(
            values[:count],
            None if after is None else _named(after)[name][:count],
            told[:count],
            " ".join(word for word in (source.name, role, name) if word),
            described.piece if described.tokens else str,
        )
        path = Path(config.to) / f"{'-'.join([stem, *filter(None, name.split('/'))])}.png"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            picture.save(path)
        except OSError as error:
            raise ConfigError(
                f"to={config.to}: {path.name} cannot be written: {error.strerror or error}"
            ) from error
        written.append(path)
    return written


def _augmented(config: DictConfig, inputs: Any, count: int) -> tuple[Any, Any]:
    """``inputs`` as the first step of training would have them, and the share of mixed targets;
    both None where they are not augmented."""
    if not config.dataset.augment or config.split != "train":
        return None, None
    import tensorflow as tf

    from pipeline.data_parts import augmentation_of

    tensors = tf.nest.map_structure(tf.constant, inputs)
    key = tf.constant([config.seed, 0], tf.int64)
    augmentation = augmentation_of(config, tensors, count, compiled=False)
    mixed = augmentation(tensors, key, tf.range(count))
    share = None if mixed.share is None else mixed.share.numpy()
    return tf.nest.map_structure(lambda t: t.numpy(), mixed.x), share


def _named(inputs: Any) -> Mapping[str, Any]:
    return inputs if isinstance(inputs, Mapping) else {"": inputs}


def run() -> None:
    """For the command line."""
    verb(main, __doc__)
