"""Examples that cannot be used: NaN, infinity, labels outside the classes, weights below 0.

Damaged files are ``records.py``'s, features of the wrong kind ``features.py``'s.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pipeline.config import Dataset
from pipeline.data.features import Target
from pipeline.data.splits import Split
from pipeline.errors import DataError

ROWS = 4096  # looked at at once


def faulty(split: Split, config: Dataset, target: Target) -> Iterator[tuple[int, str]]:
    """Which of some examples cannot be used, and why; one may be named twice."""
    if isinstance(split.inputs, np.ndarray):  # of a table, preprocessing knows what to do
        for row in _not_finite(split.inputs):
            yield int(row), f"its {str(config.inputs)!r} holds NaN or infinity"
    if split.targets is not None and target.kind == "numbers":
        for row in _not_finite(split.targets):
            yield int(row), f"its {', '.join(target.paths)} holds NaN or infinity"
    elif split.targets is not None:
        for row in _outside(split.targets, target):
            yield int(row), f"its label is outside 0..{(target.size or 0) - 1}"
    if split.weights is not None:
        wrong = ~np.isfinite(split.weights) | (split.weights < 0)
        for row in np.flatnonzero(wrong):
            yield int(row), f"its weight {str(config.weight)!r} is {split.weights[row]:g}"


def check(split: Split, config: Dataset, target: Target) -> None:
    """Raise ``DataError`` where an example of a whole split cannot be used."""
    _check_targets(split, target)
    if isinstance(split.inputs, np.ndarray):
        _check_finite(split, split.inputs, str(config.inputs))
    if split.weights is not None:
        _check_weights(split, split.weights, str(config.weight))


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
