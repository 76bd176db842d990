"""What a prepared TFDS dataset holds, checked against what the config says of it.

Names, versions and preparing are ``catalogue.py``'s, features are ``features.py``'s, reading is
``splits.py``'s, what is made of the examples is ``prepared.py``'s.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from pipeline.config import Dataset
from pipeline.data.catalogue import (
    is_prepared,
    needs_no_download,
    not_prepared,
    open_builder,
    prepare,
)
from pipeline.data.features import Target, inputs_of, target_of, weight_of
from pipeline.data.splits import Split, read
from pipeline.errors import DataError, did_you_mean

ROLES = ("train", "validation", "test")
ROWS = 4096  # looked at at once


@dataclass
class Source:
    """What a prepared dataset holds, and its splits on request.

    Attributes:
        folder: where this version lies on disk.
        inputs: the spec of one example's inputs, or of each by name; sizes that TFDS leaves open
            are None.
        sizes: examples by role (train, validation, test).
    """

    name: str
    version: str
    folder: Path
    inputs: tf.TensorSpec | dict[str, tf.TensorSpec]
    target: Target
    description: str
    citation: str
    homepage: str
    license: str
    sizes: dict[str, int]
    config: Dataset = field(repr=False)
    builder: tfds.core.DatasetBuilder = field(repr=False)
    weight: str | None = None
    _read: dict[str, Split] = field(default_factory=dict, init=False, repr=False)

    @property
    def classes(self) -> int:
        """How many there are; 0 where the target is none."""
        return (self.target.size or 0) if self.target.kind in ("class", "classes") else 0

    @property
    def class_names(self) -> list[str]:
        """Of the classes, or of the numbers that are predicted where these have names."""
        return list(self.target.names)

    def told(self) -> str:
        """The inputs in words: ``8x8x1 uint8``."""
        specs = self.inputs if isinstance(self.inputs, dict) else {"": self.inputs}
        words = [f"{name} {_told(spec)}".strip() for name, spec in specs.items()]
        return ", ".join(words[:4]) + (f" and {len(words) - 4} more" if len(words) > 4 else "")

    def is_streamed(self, role: str) -> bool:
        """Whether the split stays on disk: as ``dataset.feed`` says, and ``auto`` by its size."""
        if self.config.feed != "auto":
            return bool(self.config.feed == "stream")
        return self.megabytes(role) > self.config.memory

    def megabytes(self, role: str) -> float:
        """MiB of the stored inputs; of text, and where sizes are open, as many as on disk."""
        specs = self.inputs.values() if isinstance(self.inputs, dict) else [self.inputs]
        if all(s.shape.is_fully_defined() and s.dtype != tf.string for s in specs):
            each = sum(s.shape.num_elements() * s.dtype.size for s in specs)
            return self.sizes[role] * each / 2**20
        splits = self.builder.info.splits
        stored = sum(split.num_bytes for split in splits.values())
        examples = sum(split.num_examples for split in splits.values())
        return float(stored / max(1, examples) * self.sizes[role] / 2**20)

    def split(self, role: str) -> Split:
        """Read the split that the config gives ``role`` (train, validation or test).

        Raises:
            DataError: damaged files, labels outside the classes, or numbers that are NaN or
                infinite.
        """
        if role not in self._read:
            expression = str(getattr(self.config.splits, role))
            split = read(self.builder, expression, self.config, self.target, self.weight)
            _check_targets(split, self.target)
            if isinstance(split.inputs, np.ndarray):  # of a table, preprocessing knows what to do
                _check_finite(split, split.inputs, str(self.config.inputs))
            if split.weights is not None:
                _check_weights(split, split.weights, str(self.weight))
            self._read[role] = split
        return self._read[role]

    @property
    def digest(self) -> str:
        """SHA-256 over the digests of the splits read so far, by role."""
        lines = (f"{role}:{split.digest}\n" for role, split in sorted(self._read.items()))
        return hashlib.sha256("".join(lines).encode()).hexdigest()


def load(config: Dataset, needs: str = "class") -> Source:
    """Open a prepared dataset and check it against ``config``; reads no example yet.

    A builder that needs no download is prepared here, at its first use.

    Args:
        needs: the kind of target, see ``Task.needs``.

    Raises:
        DataError: not prepared, or it does not hold what ``config`` says.
    """
    builder = open_builder(config)
    if not is_prepared(builder):
        if not needs_no_download(builder):
            raise not_prepared(builder, config)
        prepare(config)
        builder = open_builder(config)

    info = builder.info
    return Source(
        name=builder.name,
        version=str(builder.version),
        folder=Path(builder.data_dir),
        inputs=inputs_of(builder, config),
        target=target_of(builder, config, needs),
        description=info.description or "",
        citation=info.citation or "",
        homepage=info.homepage or "",
        license=info.redistribution_info.license or "",
        sizes={role: _size(builder, role, str(getattr(config.splits, role))) for role in ROLES},
        config=config,
        builder=builder,
        weight=weight_of(builder, config),
    )


def _told(spec: tf.TensorSpec) -> str:
    shape = "x".join("?" if size is None else str(size) for size in spec.shape.as_list())
    return f"{shape} {spec.dtype.name}".strip()


def _size(builder: tfds.core.DatasetBuilder, role: str, expression: str) -> int:
    """Examples that a split expression selects; it must parse and select at least one."""
    splits = builder.info.splits
    given = f"dataset.splits.{role}={expression}"
    for term in expression.split("+"):
        name = re.sub(r"\[.*", "", term).strip()
        if name != "all" and name not in splits:
            raise DataError(
                f"{given}: {builder.info.full_name} has no split {name!r}. "
                f"{did_you_mean(name, splits)}"
            )
    try:
        examples = splits[expression].num_examples
    except Exception as error:  # TFDS raises one kind or another for what it cannot parse
        reason = " ".join(str(error).split())
        raise DataError(
            f"{given} is not a split expression for {builder.info.full_name}: {reason} "
            "Write for example train, train[:90%], train[90%:], train[100:200] or train+test."
        ) from error
    if not examples:
        has = ", ".join(f"{name} {info.num_examples:,}" for name, info in sorted(splits.items()))
        raise DataError(f"{given} is empty: {builder.info.full_name} has {has} examples.")
    return examples


def _check_finite(split: Split, values: np.ndarray, feature: str) -> None:
    """One such number in a batch makes every weight NaN at the next step."""
    bad = _not_finite(values)
    if not len(bad):
        return
    first = int(bad[0])
    own = np.asarray(values[first])
    place = np.argwhere(~np.isfinite(own))[0].tolist()
    whole = split.name.partition("+")[0].partition("[")[0]
    raise DataError(
        f"Split {split.name!r}: {feature!r} of example {first} holds {own[tuple(place)]}"
        f"{f' at {place}' if place else ''} ({len(bad):,} of {len(split):,} examples hold NaN "
        "or infinity). Mend the examples, or leave them out by a split expression such as "
        f"{whole}[{first + 1}:]."
    )


def _not_finite(values: np.ndarray) -> np.ndarray:
    """The examples that hold a number which is not finite."""
    if values.dtype == object:
        floats = (np.issubdtype(np.asarray(v).dtype, np.floating) for v in values[:1])
        if not any(floats):
            return np.array([], int)
        return np.flatnonzero([not np.isfinite(value).all() for value in values])
    if not np.issubdtype(values.dtype, np.floating):
        return np.array([], int)
    axes = tuple(range(1, values.ndim))
    # In pieces: the mask of all would take a quarter of the split's memory.
    pieces: Iterator[np.ndarray] = (
        first + np.flatnonzero(~np.isfinite(values[first : first + ROWS]).all(axis=axes))
        for first in range(0, len(values), ROWS)
    )
    return np.concatenate([np.array([], int), *pieces])


def faulty(inputs: Any, targets: np.ndarray | None, source: Source) -> Iterator[tuple[int, str]]:
    """Which of some examples cannot be used, and why: NaN, infinity, labels outside the classes."""
    if isinstance(inputs, np.ndarray):
        for row in _not_finite(inputs):
            yield int(row), f"its {source.config.inputs!r} holds NaN or infinity"
    if targets is None:
        return
    for row in _not_finite(targets):
        yield int(row), f"its {', '.join(source.target.paths)} holds NaN or infinity"
    if source.target.kind in ("class", "classes"):
        for row in _outside(targets, source.target):
            yield int(row), f"its label is outside 0..{(source.target.size or 0) - 1}"


def _outside(targets: np.ndarray, target: Target) -> np.ndarray:
    """The examples whose labels are none of the classes."""
    if target.kind == "classes":
        return np.flatnonzero((targets == 255).any(1))
    return np.flatnonzero((targets < 0) | (targets >= (target.size or 0)))


def _check_targets(split: Split, target: Target) -> None:
    if split.targets is None:
        return
    if target.kind == "numbers":
        _check_finite(split, split.targets, ", ".join(target.paths))
        return
    assert target.size is not None
    outside = _outside(split.targets, target)
    if len(outside):
        first = int(outside[0])
        is_one = "" if target.kind == "classes" else f" is {split.targets[first]},"
        raise DataError(
            f"Split {split.name!r}: the label of example {first}{is_one} outside "
            f"0..{target.size - 1} ({len(outside):,} of {len(split):,} examples are). "
            "TFDS writes -1 where a dataset publishes no labels: use another split."
        )


def _check_weights(split: Split, weights: np.ndarray, feature: str) -> None:
    _check_finite(split, weights, feature)
    if (weights < 0).any() or not (weights > 0).any():
        first = int(np.flatnonzero(weights < 0)[0]) if (weights < 0).any() else 0
        raise DataError(
            f"Split {split.name!r}: the weight {feature!r} of example {first} is "
            f"{weights[first]:g}; weights are at least 0, and one of them is above it."
        )
