"""Examples of a split by number: found in its files, decoded, and preprocessed on the host.

For what does not fit in memory. What comes out is what ``prepared.py`` holds of a split that does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.data.examples import Examples
from pipeline.data.on_host import on_host
from pipeline.data.preprocess import Preprocessing
from pipeline.data.source import Source
from pipeline.data.splits import Split
from pipeline.errors import DataError

_SEARCHED = 1024  # examples at once, for one that can be used


class Reader:
    """The examples of a split at any indices, as a feed takes them.

    Where ``dataset.on_error`` is ``skip``, all have weights, and one that cannot be used comes as
    another example with weight 0: which can be used, nobody knows before all have been read.

    Args:
        role: of the split: train, validation or test.
        preprocessing: fitted before examples are read.
    """

    def __init__(
        self, source: Source, role: str, preprocessing: Preprocessing, frame: Any = None
    ) -> None:
        self.source = source
        self.stored = source.stored(role)
        self.name = self.stored.name
        if getattr(frame, "whole", False):
            raise DataError(
                f"dataset.frame={type(frame).__name__} makes one sequence of a whole split, which "
                f"must be in memory, and {self.name!r} is streamed. Use dataset.feed=resident."
            )
        self.frame = frame
        self.preprocessing = preprocessing
        self.skips = source.config.on_error == "skip"
        self._blank: Examples | None = None

    def __len__(self) -> int:
        return len(self.stored)

    def __call__(self, indices: np.ndarray) -> Examples:
        """The examples at ``indices``, ``[n]``.

        Raises:
            DataError: one cannot be used; the text names its file and its place there.
        """
        if not self.skips:
            return self._made(self.stored(indices))
        kept, split = self.stored.usable(indices)
        if len(kept) == len(indices):
            return self._made(split)
        blank = self.example().arrays
        found = self._made(split).arrays if len(kept) else blank
        usable = np.isin(indices, kept)
        rows = np.cumsum(usable) - 1  # of those that are found

        def filled(own: np.ndarray, other: np.ndarray) -> np.ndarray:
            array = np.repeat(other[:1], len(indices), axis=0)
            array[usable] = own[rows[usable]]
            return array

        arrays = tf.nest.map_structure(filled, found, blank)
        return Examples(arrays["inputs"], arrays.get("targets"), arrays["weights"] * usable)

    def in_order(self, size: int) -> Iterator[Examples]:
        """All that can be used, about ``size`` at once."""
        for split in self._splits(size):
            yield self._made(split)

    def stored_inputs(self, size: int) -> Iterator[Any]:
        """The inputs of all that can be used, before any preprocessing, about ``size`` at once."""
        for split in self._splits(size):
            yield split.inputs

    def sample(self, indices: np.ndarray) -> Split:
        """Those at ``indices`` that can be used, before any preprocessing."""
        return self.stored.sample(indices)

    def example(self) -> Examples:
        """One, which shows what all are like."""
        if self._blank is None:
            size = _SEARCHED if self.skips else 1
            self._blank = self._made(next(self._splits(size)).at(np.array([0])))
        return self._blank

    def _splits(self, size: int) -> Iterator[Split]:
        some = False
        for first in range(0, len(self), size):
            split = self.sample(np.arange(first, min(first + size, len(self))))
            if len(split):
                some = True
                yield split
        if not some:
            raise DataError(f"Not one example of split {self.name!r} can be used.")

    def _made(self, split: Split) -> Examples:
        inputs, targets = on_host(self.preprocessing, split, self.source), split.targets
        if self.frame is not None:
            inputs, targets = self.frame(inputs)
        weights = split.weights
        if self.skips and weights is None:
            weights = np.ones([len(split)], np.float32)
        return Examples(inputs, targets, weights)
