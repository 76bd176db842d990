"""The splits of a dataset as they are trained on: preprocessed on the host, framed, of one size.

A split is held in memory, or stays on disk and is read in parts (``reader.py``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.data.examples import BATCH, Arrays, Examples, in_batches
from pipeline.data.mixed import MixedSource, check_sizes
from pipeline.data.on_host import on_host, sizes_differ
from pipeline.data.preprocess import Preprocessing
from pipeline.data.reader import Reader
from pipeline.data.source import ROLES, Source
from pipeline.data.stored import AnyStored
from pipeline.errors import DataError

SAMPLE = 1000  # examples that stand for a streamed split in its digest

Frame = Callable[[Arrays], tuple[Any, Any]]


class Prepared:
    """The examples of each split.

    What preprocessing learns, it learns here, of the training split. Make it inside the strategy's
    scope, for what is learnt may be in variables.

    Attributes:
        model_inputs: the spec of a batch as the model takes it.

    Args:
        frame: makes inputs and targets of what is preprocessed; None: the targets are a feature, or
            the inputs themselves.
    """

    def __init__(
        self, source: Source, preprocessing: Preprocessing, frame: Frame | None = None
    ) -> None:
        self.source = source
        self.preprocessing = preprocessing
        self.frame = frame
        self._made: dict[str, Examples] = {}
        self._readers: dict[str, Reader] = {}
        self._check_text()
        if getattr(frame, "whole", False) and source.config.splits.hold_out is not None:
            raise DataError(
                f"dataset.frame={type(frame).__name__} makes one sequence of a whole split, and "
                "dataset.splits.hold_out would take examples out of the middle of it. Name a split "
                "or a slice as dataset.splits.validation."
            )
        if getattr(frame, "whole", False) and isinstance(source, MixedSource):
            raise DataError(
                f"dataset.frame={type(frame).__name__} makes one sequence of a whole split, and "
                "dataset.mix makes one split of several sets: windows would reach from one into "
                "another. Leave one of them out."
            )
        preprocessing.host.fit(lambda: self._stored_batches("train"), self.stored)
        check_sizes(source, self._spec_on_host)
        spec = self.example("train").element_spec
        self.model_inputs = preprocessing.device.fit(
            lambda: (part.inputs for part in self.parts("train")), spec
        )

    @property
    def stored(self) -> Any:
        """The spec of a batch of inputs as they are stored, which the exported model takes."""
        return tf.nest.map_structure(
            lambda spec: tf.TensorSpec([None, *spec.shape], spec.dtype), self.source.inputs
        )

    def is_streamed(self, role: str) -> bool:
        """Whether the split that the config gives ``role`` stays on disk."""
        return self.source.is_streamed(role)

    def examples(self, role: str) -> Examples:
        """All of a split that is held in memory.

        Raises:
            DataError: examples that differ in size, or too few for the frame.
        """
        if role not in self._made:
            split = self.source.split(role)
            whole = getattr(self.frame, "whole", False)
            inputs = on_host(self.preprocessing, split, self.source, joins=whole)
            made = Examples(inputs, split.targets, split.weights)
            if self.frame is not None:
                try:
                    made = Examples(*self.frame(inputs), None if whole else split.weights)
                except ValueError as error:
                    raise DataError(f"dataset.frame, split {split.name!r}: {error}") from error
            for other, known in self._made.items():
                if _shapes(known.inputs) != _shapes(made.inputs):
                    raise sizes_differ(self.source, f"{split.name}, {other}")
            self._made[role] = made
        return self._made[role]

    def reader(self, role: str) -> Reader:
        """Of a split that stays on disk."""
        if role not in self._readers:
            self._readers[role] = Reader(self.source, role, self.preprocessing, self.frame)
        return self._readers[role]

    def example(self, role: str) -> Examples:
        """One or more, which show what all are like."""
        return self.reader(role).example() if self.is_streamed(role) else self.examples(role)

    def parts(self, role: str, size: int = BATCH) -> Iterator[Examples]:
        """All examples in stored order, ``size`` at once."""
        if self.is_streamed(role):
            yield from self.reader(role).in_order(size)
            return
        arrays = self.examples(role).arrays
        for first in range(0, len(self.examples(role)), size):
            part = tf.nest.map_structure(lambda a, at=first: a[at : at + size], arrays)
            yield Examples(part["inputs"], part.get("targets"), part.get("weights"))

    def stored_inputs(self, role: str, count: int) -> Any:
        """The first inputs of a split as they are stored, or all of them where they differ."""
        if self.is_streamed(role):
            reader = self.reader(role)
            return reader.sample(np.arange(min(count, len(reader)))).inputs
        return tf.nest.map_structure(lambda a: a[:count], self.source.split(role).inputs)

    def digest(self, role: str) -> str:
        """SHA-256 of a split's decoded content; of a sample where it is streamed."""
        found = self.digests_of_sets(role)
        if len(found) == 1:
            return found[""]
        return hashlib.sha256("\n".join(found.values()).encode()).hexdigest()

    def digests_of_sets(self, role: str) -> dict[str, str]:
        """The same of each set that the split is made of."""
        streamed = self.is_streamed(role)
        return {
            name: _sampled(one.stored(role)) if streamed else one.split(role).digest
            for name, one in self.source.sets(role).items()
        }

    def digests(self) -> str:
        """SHA-256 over the digests of all splits, by role."""
        lines = (f"{role}:{self.digest(role)}\n" for role in sorted(ROLES))
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def size(self, role: str) -> int:
        """Stored examples of a split."""
        return len(self.reader(role) if self.is_streamed(role) else self.source.split(role))

    def sizes_of_sets(self, role: str) -> dict[str, int]:
        """Stored examples of each set that a split is made of."""
        streamed = self.is_streamed(role)
        return {
            name: len(one.stored(role) if streamed else one.split(role))
            for name, one in self.source.sets(role).items()
        }

    def in_epoch(self) -> dict[str, int]:
        """How many examples of each of its sets one epoch of training has.

        Raises:
            DataError: a set that is mixed in has a share of less than one example.
        """
        sizes = self.sizes_of_sets("train")
        if isinstance(self.source, MixedSource):
            return dict(zip(sizes, self.source.in_epoch([*sizes.values()]), strict=True))
        return sizes

    def told_mix(self) -> str:
        """What the examples of training are mixed of, in words; empty where it is one set."""
        counts, sizes = self.in_epoch(), self.sizes_of_sets("train")
        said = [
            f"{name or 'own'} {counts[name] / sum(counts.values()):.1%}, {counts[name]:,} an epoch "
            f"of the {sizes[name]:,} in {one.full_name} {one.named('train')}"
            for name, one in self.source.sets("train").items()
        ]
        return "; ".join(said) if len(said) > 1 else ""

    def _spec_on_host(self, source: Source) -> Any:
        """Of an example of a set of the training split, once the host has preprocessed it."""
        return Reader(source, "train", self.preprocessing).example().element_spec

    def _stored_batches(self, role: str) -> Iterator[Any]:
        if not self.is_streamed(role):
            yield from in_batches(self.source.split(role).inputs)
            return
        for inputs in self.reader(role).stored_inputs(BATCH):
            yield from in_batches(inputs)

    def _check_text(self) -> None:
        """Text is not what a model takes."""
        if self.preprocessing.host.steps:
            return
        source = self.source
        specs = source.inputs if isinstance(source.inputs, dict) else {"": source.inputs}
        for name, spec in specs.items():
            if spec.dtype == tf.string:
                raise DataError(
                    f"dataset.inputs={name or source.config.inputs}: this feature of "
                    f"{source.builder.info.full_name} is text, and a model takes numbers. Add a "
                    "step to dataset.preprocess that makes tokens of it "
                    "(_target_: pipeline.data.preprocess.Tokens), or name another feature."
                )


def _sampled(stored: AnyStored) -> str:
    """SHA-256 of how many examples there are, and of some of them, evenly spaced."""
    at = np.unique(np.linspace(0, len(stored) - 1, SAMPLE).astype(int))
    return hashlib.sha256(f"{len(stored)}:{stored.sample(at).digest}".encode()).hexdigest()


def _shapes(inputs: Arrays) -> list[tuple[int, ...]]:
    return [array.shape[1:] for array in tf.nest.flatten(inputs)]
