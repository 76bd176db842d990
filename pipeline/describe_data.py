"""Look at a dataset before training on it: ``python -m pipeline.data dataset=digits``.

    python -m pipeline.data dataset=cifar10 +augment=photographs to=pictures
    python -m pipeline.data dataset=imdb_reviews split=test examples=4
    python -m pipeline.data dataset=diamonds task=regression

Sizes, classes, statistics, tokens and duplicates, and a picture of examples: of the training split
before and after augmentation. Trains nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from pipeline import preflight
from pipeline.cli import verb
from pipeline.composing import compose
from pipeline.config import DataVerb
from pipeline.console import Console
from pipeline.errors import ConfigError
from pipeline.quiet import load_tensorflow

if TYPE_CHECKING:
    from pipeline.analysis.dataset_summary import Table
    from pipeline.data.prepared import Prepared
    from pipeline.describing import Described

OWN = tuple(DataVerb.__dataclass_fields__)


def configured(overrides: Sequence[str]) -> DictConfig:
    """What ``overrides`` choose, checked as far as that can be done without the data.

    Raises:
        ConfigError: an unknown key, a wrong type or value, a package that is not trusted.
    """
    config = compose("data", overrides)
    for problem in preflight.find_problems(config):
        # Of the rules for training configs those that are about what is here.
        key = problem.partition(":")[0].partition(".")[0]
        if key in OWN and not (key == "task" and config.task is None) and key != "objective":
            if "there is no such key" in problem and problem.partition(":")[0] in OWN:
                continue
            raise ConfigError(problem)
    return config


def main(overrides: Sequence[str]) -> None:
    """Print what there is to know of the dataset, and draw examples.

    Raises:
        UserError: a wrong config, or data that is not there or not what the config says.
    """
    config = configured(overrides)
    load_tensorflow()  # once the config has been checked
    from pipeline.describing import Described

    prepared = _prepared(config)
    described, console = Described(prepared), Console()
    console.facts(described.facts())
    _show(console, described.splits())
    balance, said = described.balance()
    _show(console, balance, said)
    for table in described.numbers(config.split):
        _show(console, table)
    vocabulary, said = described.vocabulary()
    _show(console, vocabulary, said)
    _show(console, described.steps())
    console.line()
    for sentence in described.told_repeated():
        console.line(sentence)
    for path in draw(config, described):
        console.line(f"picture: {path}")


def _prepared(config: DictConfig) -> Prepared:
    from pipeline.data.catalogue import open_builder
    from pipeline.data.features import kind_of
    from pipeline.data_parts import prepare
    from pipeline.instantiating import make

    if config.task is None:
        return prepare(config, kind_of(open_builder(config.dataset), config.dataset))
    return prepare(config, make(config, "task").needs)


def _show(console: Console, table: Table | None, said: Sequence[str] = ()) -> None:
    if table is None or not table.rows:
        return
    console.line(f"\n{table.title}")
    console.whole_table(table.columns, table.rows)
    for sentence in said:
        console.line(sentence)


def draw(config: DictConfig, described: Described) -> list[Path]:
    """Write a picture of examples for each input that the model takes; returns where they are.

    Raises:
        ConfigError: ``to`` cannot be written.
    """
    import numpy as np

    from pipeline.analysis.example_pictures import captions, examples_picture
    from pipeline.describing import spread

    role, source = config.split, described.source
    rows = spread(described.size(role), config.examples)
    count = len(rows)
    rows = np.resize(rows, count + count % 2)  # what is mixed needs a neighbour
    examples = described.at(role, rows)
    before = described.model_takes(examples.inputs)
    after, share = _augmented(config, described.prepared, before, len(rows))
    if source.target.paths and described.prepared.frame is None:
        names = source.class_names if source.classes else ()
        assert examples.targets is not None
        told = captions(examples.targets, names, share)
    else:
        told = [f"example {row}" for row in rows]
    pieces = described.tokens.vocabulary.pieces if described.tokens else None
    written = []
    folder = Path(config.to)
    stem = source.name if role == "train" else f"{source.name}-{role}"
    for name, values in _named(before).items():
        changed = None if after is None else _named(after)[name][:count]
        title = " ".join(word for word in (source.name, role, name) if word)
        picture = examples_picture(
            values[:count],
            changed,
            told[:count],
            title,
            str if pieces is None else lambda i: pieces[i].decode(errors="replace") or "\ufffd",
        )
        path = folder / f"{'-'.join([stem, *name.split('/')]).rstrip('-')}.png"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            picture.save(path)
        except OSError as error:
            raise ConfigError(
                f"to={folder}: {path.name} cannot be written there: {error.strerror or error}"
            ) from error
        written.append(path)
    return written


def _augmented(
    config: DictConfig, prepared: Prepared, inputs: Any, count: int
) -> tuple[Any, Any]:
    """``inputs`` as the first step of training would have them, and the share of mixed targets;
    both None where they are not augmented."""
    import tensorflow as tf

    from pipeline.data_parts import augmentation_of

    augmentation = augmentation_of(config, prepared, count, count, compiled=False)
    if augmentation is None or config.split != "train":
        return None, None
    key = tf.constant([config.seed, 0], tf.int64)
    mixed = augmentation(tf.nest.map_structure(tf.constant, inputs), key, tf.range(count))
    share = None if mixed.share is None else mixed.share.numpy()
    return tf.nest.map_structure(lambda t: t.numpy(), mixed.x), share


def _named(inputs: Any) -> Mapping[str, Any]:
    return inputs if isinstance(inputs, Mapping) else {"": inputs}


def run() -> None:
    """For the command line."""
    verb(main, __doc__)
