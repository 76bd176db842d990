"""Examples of a split by number: found in its files, decoded, and preprocessed on the host.

For what does not fit in memory. What comes out is what ``prepared.py`` holds of a split that does.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.data.decoder import Decoder
from pipeline.data.examples import Examples, in_batches
from pipeline.data.features import names_of
from pipeline.data.preprocess import Preprocessing
from pipeline.data.records import Records
from pipeline.data.source import Source, faulty
from pipeline.data.splits import targets_in
from pipeline.errors import DataError

_log = logging.getLogger(__name__)


class Reader:
    """The examples of a split at any indices, as a feed takes them.

    Args:
        role: of the split: train, validation or test.
        preprocessing: fitted already.

    Attributes:
        skipped: examples that could not be used, where ``dataset.on_error`` is ``skip``; they come
            with weight 0.
    """

    def __init__(
        self, source: Source, role: str, preprocessing: Preprocessing, frame: Any = None
    ) -> None:
        self.source = source
        self.config = source.config
        self.name = str(getattr(source.config.splits, role))
        if getattr(frame, "whole", False):
            raise DataError(
                f"dataset.frame={type(frame).__name__} makes one sequence of a whole split, which "
                f"must be in memory, and {self.name!r} is streamed. Use dataset.feed=resident."
            )
        self.frame = frame
        self.preprocessing = preprocessing
        self.records = Records(source.builder, self.name, source.config.on_error)
        self.skips = source.config.on_error == "skip"
        self.skipped = 0
        if self.records.bad:
            _log.warning(
                "%s records of %s are left out: %s",
                *(f"{self.records.left_out:,}", self.name),
                "; ".join(f"{bad.shard}, record {bad.record}: {bad.reason}" for bad in self._few),
            )
        self.inputs = names_of(source.config.inputs)
        weight = [source.weight] if source.weight else []
        self._decoder = Decoder(source.builder, [*self.inputs, *source.target.paths, *weight])
        self._blank: Examples | None = None

    def __len__(self) -> int:
        return len(self.records)

    @property
    def _few(self) -> Sequence[Any]:
        return self.records.bad[:3]

    def __call__(self, indices: np.ndarray) -> Examples:
        """The examples at ``indices``, ``[n]``.

        Raises:
            DataError: one cannot be used; the text names its file and its place there.
        """
        if not self.skips:
            return self._read(indices)
        try:
            return self._weighted(self._read(indices))
        except DataError:
            return _joined([self._one(index) for index in indices])

    def in_order(self, size: int) -> Iterator[Examples]:
        """All of them, ``size`` at once."""
        for first in range(0, len(self), size):
            yield self(np.arange(first, min(first + size, len(self))))

    def stored(self, indices: np.ndarray) -> Any:
        """The inputs at ``indices`` before any preprocessing; one where they differ in size."""
        indices = indices if self._decoder.even else indices[:1]
        decoded = self.records.decoded(indices, self._decoder)
        inputs = {name: decoded[name] for name in self.inputs}
        return inputs[self.inputs[0]] if isinstance(self.config.inputs, str) else inputs

    def _read(self, indices: np.ndarray) -> Examples:
        if not self._decoder.even and len(indices) > 1:
            return _joined([self._read(indices[i : i + 1]) for i in range(len(indices))])
        decoded = self.records.decoded(indices, self._decoder)
        stored = {name: decoded[name] for name in self.inputs}
        inputs = stored[self.inputs[0]] if isinstance(self.config.inputs, str) else stored
        found = [[decoded[path]] for path in self.source.target.paths]
        if self.source.target.kind == "classes":
            found = [list(parts[0]) for parts in found]
        targets = targets_in(self.source.target, found, one_by_one=False)
        weights = None
        if self.source.weight:
            weights = decoded[self.source.weight].astype(np.float32)
        self._check(indices, inputs, targets)
        if self.preprocessing.host.steps:
            parts = [
                tf.nest.map_structure(lambda t: t.numpy(), self.preprocessing.host(batch))
                for batch in in_batches(inputs)
            ]
            inputs = tf.nest.map_structure(lambda *own: np.concatenate(own), *parts)
        if self.frame is not None:
            inputs, targets = self.frame(inputs)
        return Examples(inputs, targets, weights)

    def _check(self, indices: np.ndarray, inputs: Any, targets: np.ndarray | None) -> None:
        for row, reason in faulty(inputs, targets, self.source):
            shard, at = self.records.where(int(indices[row]))
            raise DataError(
                f"{shard}, record {at} ({self.source.folder}): {reason}. Set "
                "dataset.on_error=skip to go on without such examples, or mend them."
            )

    def _one(self, index: int) -> Examples:
        """The example, or another one with weight 0 in its place."""
        at = np.array([index])
        try:
            return self._weighted(self._read(at))
        except DataError as error:
            self.skipped += 1
            if self.skipped <= 3:
                _log.warning("left out: %s", str(error).splitlines()[0])
        if self._blank is None:
            self._blank = self._first()
        return Examples(self._blank.inputs, self._blank.targets, np.zeros([1], np.float32))

    def _first(self) -> Examples:
        """The first that can be used."""
        for index in range(len(self)):
            try:
                return self._read(np.array([index]))
            except DataError:
                continue
        raise DataError(f"Not one example of split {self.name!r} can be used.")

    def example(self) -> Examples:
        """One, which shows what all are like."""
        found = self._first() if self.skips else self._read(np.array([0]))
        return self._weighted(found) if self.skips else found

    @staticmethod
    def _weighted(found: Examples) -> Examples:
        if found.weights is not None:
            return found
        return Examples(found.inputs, found.targets, np.ones([len(found)], np.float32))


def _joined(parts: Sequence[Examples]) -> Examples:
    arrays = tf.nest.map_structure(
        lambda *own: np.concatenate(own), *[part.arrays for part in parts]
    )
    return Examples(arrays["inputs"], arrays.get("targets"), arrays.get("weights"))
