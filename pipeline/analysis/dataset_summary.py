"""What a split of a dataset holds, as tables: sizes, balance of classes, statistics, lengths.

NumPy arrays come in, as they are stored; the rows are texts and numbers for whoever prints them.
Large arrays are looked at in parts, so that no second copy of them is made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

PART = 1 << 22  # values that are looked at together
COLUMNS = 64  # numbers of an example that get a row each; where there are more, they share one


@dataclass(frozen=True)
class ClassShare:
    """One class: its examples, and which part of the split they are."""

    name: str
    count: int
    share: float


@dataclass(frozen=True)
class Statistics:
    """The numbers of one feature, or of one column or channel of it, over a split.

    Attributes:
        name: ``age``, ``image[0]`` for the first channel, ``x[2]`` for the third column.
        minimum, mean, deviation, maximum: of the numbers that are none of ``missing``; NaN where
            there are none.
        missing: NaN and infinite values.
    """

    name: str
    minimum: float
    mean: float
    deviation: float
    maximum: float
    missing: int


@dataclass(frozen=True)
class Lengths:
    """How long the sequences of a feature are, and of what they are made.

    Attributes:
        unit: ``tokens``, ``bytes`` or ``steps``.
        vocabulary: how many different tokens, or bytes, there are; ``None`` for steps.
    """

    name: str
    unit: str
    shortest: int
    median: float
    mean: float
    longest: int
    vocabulary: int | None


@dataclass(frozen=True)
class SplitSummary:
    """What a split holds. ``balance``: empty where there are no classes."""

    name: str
    examples: int
    balance: Sequence[ClassShare] = ()
    statistics: Sequence[Statistics] = ()
    lengths: Sequence[Lengths] = ()

    def tables(self) -> list[Table]:
        """Those that have rows."""
        made = [
            Table(
                f"{self.name}: classes",
                ("class", "examples", "share"),
                [(row.name, f"{row.count:,}", f"{row.share:.1%}") for row in self.balance],
            ),
            Table(
                f"{self.name}: statistics",
                ("feature", "min", "mean", "std", "max", "NaN"),
                [
                    (
                        row.name,
                        *map(_short, (row.minimum, row.mean, row.deviation, row.maximum)),
                        f"{row.missing:,}",
                    )
                    for row in self.statistics
                ],
            ),
            Table(
                f"{self.name}: lengths",
                ("feature", "in", "shortest", "median", "mean", "longest", "vocabulary"),
                [
                    (
                        row.name,
                        row.unit,
                        f"{row.shortest:,}",
                        *map(_short, (row.median, row.mean)),
                        f"{row.longest:,}",
                        "-" if row.vocabulary is None else f"{row.vocabulary:,}",
                    )
                    for row in self.lengths
                ],
            ),
        ]
        return [table for table in made if table.rows]


class Table(NamedTuple):
    """Texts, as ``Console.table`` takes them."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def summary(
    name: str,
    features: Mapping[str, np.ndarray | Sequence[np.ndarray]],
    labels: np.ndarray | None = None,
    names: Sequence[str] = (),
) -> SplitSummary:
    """All that is known of a split: sequences by their lengths, other features by their numbers.

    Args:
        name: of the split.
        features: name to ``[n, ...]``, or to ``n`` arrays of several lengths.
        labels: ``class_balance`` has which; ``None`` where there are no classes.
        names: of the classes.
    """
    long = {key: lengths(key, values) for key, values in features.items() if _is_sequence(values)}
    numbers = [
        row
        for key, values in features.items()
        if isinstance(values, np.ndarray) and values.dtype.kind in "fiub" and key not in long
        for row in statistics(key, values)
    ]
    examples = (
        len(next(iter(features.values()))) if features else 0 if labels is None else len(labels)
    )
    balance = () if labels is None else class_balance(labels, names)
    return SplitSummary(name, examples, balance, numbers, list(long.values()))


def class_balance(labels: np.ndarray, names: Sequence[str]) -> list[ClassShare]:
    """A row for each class, in their order, those without examples too.

    Args:
        labels: ``[n]`` classes, or ``[n, classes]`` of zeros and ones, of which an example may have
            several: their shares are of the examples and need not add up to 1.
        names: of all classes. A label beyond them has a row of its own, called by its number.
    """
    if labels.ndim == 2:
        found = dict(enumerate(np.count_nonzero(labels, axis=0).tolist()))
    else:
        values, counts = np.unique(labels, return_counts=True)
        found = dict(zip(values.astype(int).tolist(), counts.tolist(), strict=True))
    whole = max(1, len(labels))
    rows = dict(enumerate(names))
    rows |= {value: str(value) for value in found if value not in rows}
    return [ClassShare(rows[i], found.get(i, 0), found.get(i, 0) / whole) for i in rows]


def statistics(name: str, values: np.ndarray) -> list[Statistics]:
    """A row for each channel of an image, each column of a vector or series, else one for all.

    Args:
        name: of the feature.
        values: ``[n, ...]``, numbers or booleans.
    """
    width = values.shape[-1] if values.ndim > 1 else 1
    if not 1 <= width <= COLUMNS:
        width = 1
    rows = [f"{name}[{i}]" for i in range(width)] if values.ndim > 1 and width > 1 else [name]
    table = values.reshape(-1, width)
    low, high = np.full(width, np.inf), np.full(width, -np.inf)
    count, mean, squares = np.zeros(width, np.int64), np.zeros(width), np.zeros(width)
    for part in _parts(table):
        good = np.isfinite(part)
        more = good.sum(0)
        low = np.minimum(low, np.where(good, part, np.inf).min(0))
        high = np.maximum(high, np.where(good, part, -np.inf).max(0))
        # Squares about the part's own mean, moved to that of all (Chan, Golub and LeVeque, 1979).
        own = np.where(good, part, 0.0).sum(0) / np.maximum(more, 1)
        about = np.where(good, (part - own) ** 2, 0.0).sum(0)
        whole, away = np.maximum(count + more, 1), own - mean
        squares += about + away**2 * count * more / whole
        mean += away * more / whole
        count += more
    none = count == 0
    deviation = np.sqrt(squares / np.maximum(count, 1))
    low, mean, deviation, high = (np.where(none, np.nan, x) for x in (low, mean, deviation, high))
    return [
        Statistics(
            row, float(low[i]), float(mean[i]), float(deviation[i]), float(high[i]),
            int(len(table) - count[i]),
        )
        for i, row in enumerate(rows)
    ]  # fmt: skip


def lengths(name: str, sequences: np.ndarray | Sequence[np.ndarray]) -> Lengths:
    """How long sequences are; of tokens and strings also of how many different ones.

    Args:
        sequences: integers ``[n, time]``, tokens, whose zeros at the end are padding and none of
            the vocabulary; strings ``[n]``, counted in bytes of UTF-8; or ``n`` arrays
            ``[time, ...]``, counted in steps.
    """
    array = sequences if isinstance(sequences, np.ndarray) else np.empty(0)
    if array.ndim == 2 and array.dtype.kind in "iu":
        used = array != 0
        counts = np.where(used.any(1), array.shape[1] - used[:, ::-1].argmax(1), 0)
        tokens: set[int] = set()
        for part in _parts(array, np.int64):
            tokens.update(np.unique(part).tolist())
        return _lengths(name, "tokens", counts, len(tokens - {0}))
    if any(isinstance(one, str | bytes) for one in sequences[:1]):
        texts = [one.encode() if isinstance(one, str) else one for one in sequences]
        letters: set[int] = set().union(*(set(text) for text in texts))
        return _lengths(name, "bytes", [len(text) for text in texts], len(letters))
    return _lengths(name, "steps", [len(one) for one in sequences], None)


def _is_sequence(values: np.ndarray | Sequence[np.ndarray]) -> bool:
    """Whether examples have lengths: tokens, strings, arrays apart from each other."""
    if not isinstance(values, np.ndarray) or values.dtype.kind in "OSU":
        return True
    return values.ndim == 2 and values.dtype.kind in "iu" and values.min(initial=0) >= 0


def _short(number: float) -> str:
    return f"{number:.4g}"


def _lengths(
    name: str, unit: str, counts: Sequence[int] | np.ndarray, vocabulary: int | None
) -> Lengths:
    found = np.asarray(counts, np.int64)
    if not found.size:
        return Lengths(name, unit, 0, 0.0, 0.0, 0, vocabulary)
    return Lengths(
        name,
        unit,
        int(found.min()),
        float(np.median(found)),
        float(found.mean()),
        int(found.max()),
        vocabulary,
    )


def _parts(table: np.ndarray, dtype: type = np.float64) -> Iterator[np.ndarray]:
    """Some rows of ``[n, ...]`` after the other, in ``dtype``."""
    rows = max(1, PART // max(1, int(np.prod(table.shape[1:]))))
    for start in range(0, len(table), rows):
        yield table[start : start + rows].astype(dtype, copy=False)
