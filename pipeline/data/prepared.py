"""The splits of a dataset as they are trained on: preprocessed on the host, framed, of one size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.data.examples import Arrays, Examples
from pipeline.data.preprocess import Preprocessing
from pipeline.data.source import Source
from pipeline.data.splits import Split
from pipeline.errors import DataError

BATCH = 1024  # examples that are preprocessed at once

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
        self._check_text()
        preprocessing.host.fit(lambda: in_batches(source.split("train").inputs), self.stored)
        train = self.examples("train")
        self.model_inputs = preprocessing.device.fit(
            lambda: in_batches(train.inputs), train.element_spec
        )

    @property
    def stored(self) -> Any:
        """The spec of a batch of inputs as they are stored, which the exported model takes."""
        return tf.nest.map_structure(
            lambda spec: tf.TensorSpec([None, *spec.shape], spec.dtype), self.source.inputs
        )

    def examples(self, role: str) -> Examples:
        """Those of the split that the config gives ``role``.

        Raises:
            DataError: examples that differ in size, or too few for the frame.
        """
        if role not in self._made:
            split = self.source.split(role)
            inputs = self.on_host(split)
            made = Examples(inputs, split.targets, split.weights)
            if self.frame is not None:
                try:
                    made = Examples(*self.frame(inputs))
                except ValueError as error:
                    raise DataError(f"dataset.frame, split {split.name!r}: {error}") from error
            for other, known in self._made.items():
                if _shapes(known.inputs) != _shapes(made.inputs):
                    raise self._sizes_differ(f"{split.name}, {other}")
            self._made[role] = made
        return self._made[role]

    def on_host(self, split: Split) -> Arrays:
        """The inputs of all examples as the device has them; where examples of their own length are
        one sequence, joined."""
        if not self.preprocessing.host.steps:
            for array in tf.nest.flatten(split.inputs):
                if array.dtype == object:
                    raise self._sizes_differ(split.name)
            return split.inputs
        joins = getattr(self.frame, "whole", False) and split.inputs_are_objects
        parts = [
            tf.nest.map_structure(lambda t: t.numpy(), self.preprocessing.host(batch))
            for batch in in_batches(split.inputs, 1 if joins else BATCH)
        ]
        if joins:
            return np.concatenate([part[0] for part in parts])
        try:
            return tf.nest.map_structure(lambda *own: np.concatenate(own), *parts)
        except ValueError as error:
            raise self._sizes_differ(split.name) from error

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

    def _sizes_differ(self, where: str) -> DataError:
        """The error for examples that do not make one array."""
        config, builder = self.source.config, self.source.builder
        info = builder.info
        shape = info.features[config.inputs].shape if isinstance(config.inputs, str) else ""
        return DataError(
            f"{config.inputs!r} of {info.full_name} differs in size from example to example "
            f"(split {where}; TFDS declares {shape}). A batch needs one size: add a step to "
            "dataset.preprocess that gives them one (pipeline.data.preprocess.Resize for images, "
            "Pad for sequences), or use a dataset whose examples share one."
        )


def in_batches(inputs: Arrays, batch: int = BATCH) -> Iterator[Any]:
    """The inputs in order, as tensors; one by one where they differ in size."""
    arrays = tf.nest.flatten(inputs)
    uneven = any(a.dtype == object and len(a) and not isinstance(a[0], bytes) for a in arrays)
    size = 1 if uneven else batch
    for first in range(0, len(arrays[0]), size):
        yield tf.nest.map_structure(lambda a, at=first: _tensor(a[at : at + size]), inputs)


def _tensor(array: np.ndarray) -> tf.Tensor:
    if array.dtype == object and len(array) and not isinstance(array[0], bytes):
        return tf.constant(array[0])[None]
    return tf.constant(array)


def _shapes(inputs: Arrays) -> list[tuple[int, ...]]:
    return [array.shape[1:] for array in tf.nest.flatten(inputs)]
