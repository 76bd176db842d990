"""Layers that change the shape and nothing else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from layers.core.arguments import whole
from layers.core.base import Layer
from layers.core.errors import LayerError
from layers.core.specs import describe


class Flatten(Layer):
    """``[batch, ...] -> [batch, features]``."""

    def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        self.require_axes(x, 1, "[batch, ...]")
        sizes = x.shape[1:].as_list()
        features = -1 if None in sizes else math.prod(sizes)
        return tf.reshape(x, [tf.shape(x)[0], features])


class Reshape(Layer):
    """``[batch, ...] -> [batch, *shape]``.

    Args:
        shape: the sizes without the batch; one of them may be -1, for whatever is left.
    """

    def __init__(self, shape: Sequence[int], **options: Any) -> None:
        super().__init__(**options)
        sizes = tuple(size if size == -1 else whole(self, "shape", size) for size in shape)
        if sizes.count(-1) > 1:
            raise LayerError(f"{self.label}: only one size of shape may be -1; got {list(sizes)}")
        self.shape = sizes

    def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        self.require_axes(x, 1, "[batch, ...]")
        fixed = math.prod(size for size in self.shape if size != -1)
        if x.shape[1:].is_fully_defined():
            given = math.prod(x.shape[1:].as_list())
            if given % fixed or (-1 not in self.shape and given != fixed):
                raise LayerError(
                    f"{self.label}: cannot lay out {describe(x)}, {given} values an example, as "
                    f"{list(self.shape)}"
                )
            left = given // fixed  # so that the next layer knows it when it is built
        else:
            left = -1
        sizes = [left if size == -1 else size for size in self.shape]
        return tf.reshape(x, [tf.shape(x)[0], *sizes])


class Permute(Layer):
    """The axes of each example in another order: ``[batch, ...] -> [batch, ...]``.

    Args:
        axes: which axis of the input comes where, all but the batch, which is axis 0 and stays
            (as in Keras). ``[2, 1]`` makes ``[batch, features, time]`` of ``[batch, time,
            features]``.
    """

    def __init__(self, axes: Sequence[int], **options: Any) -> None:
        super().__init__(**options)
        self.axes = tuple(whole(self, "axes", axis) for axis in axes)
        if sorted(self.axes) != list(range(1, len(self.axes) + 1)):
            raise LayerError(
                f"{self.label}: axes must be all of 1, 2, … once each, without the batch (0); got "
                f"{list(self.axes)}"
            )

    def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        if x.shape.rank != len(self.axes) + 1:
            raise LayerError(
                f"{self.label}: axes {list(self.axes)} are for an input of rank "
                f"{len(self.axes) + 1}, got {describe(x)}"
            )
        return tf.transpose(x, [0, *self.axes])
