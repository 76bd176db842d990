"""The examples of a split by number, as they lie on disk: read, decoded, and looked at.

What cannot be used is named by its file and its place there, or left out and counted where
``dataset.on_error`` is ``skip``. Preprocessing is ``reader.py``'s and ``prepared.py``'s.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from pipeline.config import Dataset
from pipeline.data.decoder import Decoder
from pipeline.data.faults import faulty
from pipeline.data.features import Target
from pipeline.data.records import Records
from pipeline.data.selection import Selection
from pipeline.data.splits import Split, joined, paths_of, split_of
from pipeline.errors import DataError

PIECE = 512  # examples that are decoded at once: TensorFlow's tensors may be 8 times as large
THREADS = 2  # that decode pieces; training needs the other cores
TOLD = 3  # of what is left out

_log = logging.getLogger(__name__)

Columns = dict[str, list[Any]]  # what is read of each feature: batches, or examples of their own


@dataclass(frozen=True)
class LeftOut:
    """How many examples could not be used so far, and which the first are."""

    count: int
    first: list[str]

    def __add__(self, other: LeftOut) -> LeftOut:
        return LeftOut(self.count + other.count, [*self.first, *other.first][:TOLD])

    def __str__(self) -> str:
        more = ["…"] if self.count > len(self.first) else []
        return f"{self.count:,} ({'; '.join([*self.first, *more])})"


class Stored:
    """The examples of a role, one by one.

    Args:
        builder: of a prepared dataset.

    Attributes:
        name: of the selection.
    """

    def __init__(
        self,
        builder: tfds.core.DatasetBuilder,
        selection: Selection,
        config: Dataset,
        target: Target,
        weight: str | None,
    ) -> None:
        self.name = selection.name
        self.config = config
        self.target = target
        self.weight = weight
        self.records = Records(builder, selection.expression, config.on_error, selection.members)
        self.paths = paths_of(config, target, weight)
        self._decoder = Decoder(builder, self.paths)
        self._unusable: dict[int, str] = {}  # by their numbers
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="decode")
        for line in self.left_out.first:
            _log.warning("left out: %s", line)

    def __len__(self) -> int:
        return len(self.records)

    @property
    def left_out(self) -> LeftOut:
        """What has turned out to be unusable; damaged records are known from the beginning."""
        damaged = [f"{bad.shard}, record {bad.record}: {bad.reason}" for bad in self.records.bad]
        lines = [*damaged, *(line for _, line in sorted(self._unusable.items()))]
        return LeftOut(self.records.left_out + len(self._unusable), lines[:TOLD])

    def __call__(self, indices: np.ndarray) -> Split:
        """The examples at ``indices``, ``[n]``.

        Raises:
            DataError: one cannot be used; the text names its file and its place there.
        """
        split = self._joined(list(self._threads.map(self._decoded, self._pieces(indices))))
        for row, reason in faulty(split, self.config, self.target):
            raise DataError(
                f"{self._named(int(indices[row]), reason)}. Set dataset.on_error=skip to go on "
                "without such examples, or mend them."
            )
        return split

    def usable(self, indices: np.ndarray) -> tuple[np.ndarray, Split]:
        """Those of ``indices`` that can be used, and the examples there; the others are noted."""
        wanted = indices[~np.isin(indices, list(self._unusable))]
        parts = self._threads.map(self._whole, self._pieces(wanted))
        found = [part for of_piece in parts for part in of_piece]
        kept = np.concatenate([np.empty([0], np.int64), *(at for at, _ in found)])
        split = self._joined([columns for _, columns in found])
        faults = dict(faulty(split, self.config, self.target))
        for row, reason in faults.items():
            self._note(int(kept[row]), self._named(int(kept[row]), reason))
        if faults:
            rows = np.setdiff1d(np.arange(len(kept)), list(faults))
            kept, split = kept[rows], split.at(rows)
        return kept, split

    def sample(self, indices: np.ndarray) -> Split:
        """The examples at ``indices``; where ``dataset.on_error`` is ``skip`` the usable ones."""
        return self.usable(indices)[1] if self.config.on_error == "skip" else self(indices)

    def _pieces(self, indices: np.ndarray) -> list[np.ndarray]:
        size = PIECE if self._decoder.even else 1
        return [indices[first : first + size] for first in range(0, len(indices), size)]

    def _decoded(self, indices: np.ndarray) -> Columns:
        return self._columns(self.records.decoded(indices, self._decoder))

    def _columns(self, decoded: dict[str, np.ndarray]) -> Columns:
        return {p: [a if self._decoder.even else a[0]] for p, a in decoded.items()}

    def _whole(self, indices: np.ndarray) -> list[tuple[np.ndarray, Columns]]:
        """What of ``indices`` can be decoded, in parts: halved until what cannot is alone."""
        try:
            return [(indices, self._columns(self._decoder(self.records.serialized(indices))))]
        except (tf.errors.OpError, DataError):
            if len(indices) > 1:
                middle = len(indices) // 2
                return [*self._whole(indices[:middle]), *self._whole(indices[middle:])]
        try:
            return [(indices, self._decoded(indices))]
        except DataError as error:
            self._note(int(indices[0]), str(error).splitlines()[0])
            return []

    def _joined(self, parts: list[Columns]) -> Split:
        columns = {path: [one for part in parts for one in part[path]] for path in self.paths}
        return split_of(
            columns, self.name, self.config, self.target, self.weight, not self._decoder.even
        )

    def _named(self, index: int, reason: str) -> str:
        shard, at = self.records.where(index)
        return f"{shard}, record {at}: {reason}"

    def _note(self, index: int, line: str) -> None:
        if index not in self._unusable and self.left_out.count < TOLD:
            _log.warning("left out: %s", line)
        self._unusable[index] = line


class JoinedStored:
    """The examples of several ``Stored``, numbered through."""

    def __init__(self, parts: Sequence[AnyStored], name: str) -> None:
        self.parts = parts
        self.name = name
        self.config: Dataset = parts[0].config
        self._ends = np.cumsum([len(part) for part in parts], dtype=np.int64)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __call__(self, indices: np.ndarray) -> Split:
        """The examples at ``indices``, ``[n]``; raises as ``Stored`` does."""
        rows, splits = [], []
        for part, at, own in self._by_part(indices):
            rows.append(at)
            splits.append(part(own))
        return joined(splits, self.name).at(np.argsort(np.concatenate(rows)))

    def usable(self, indices: np.ndarray) -> tuple[np.ndarray, Split]:
        """Those of ``indices`` that can be used, and the examples there; the others are noted."""
        rows, splits = [], []
        for part, at, own in self._by_part(indices):
            kept, split = part.usable(own)
            if len(kept):
                rows.append(at[np.isin(own, kept)])
                splits.append(split)
        if not splits:
            return np.empty([0], np.int64), split
        at = np.concatenate(rows)
        return indices[np.sort(at)], joined(splits, self.name).at(np.argsort(at))

    def sample(self, indices: np.ndarray) -> Split:
        """The examples at ``indices``; where ``dataset.on_error`` is ``skip`` the usable ones."""
        skips = self.config.on_error == "skip"
        return self.usable(indices)[1] if skips else self(indices)

    def _by_part(self, indices: np.ndarray) -> Iterator[tuple[AnyStored, np.ndarray, np.ndarray]]:
        """Of each part that has some: the places in ``indices``, and the part's own numbers."""
        which = np.searchsorted(self._ends, indices, side="right")
        for k in np.unique(which):
            at = np.flatnonzero(which == k)
            yield self.parts[k], at, indices[at] - (self._ends[k - 1] if k else 0)


AnyStored = Stored | JoinedStored
