"""Layers that summarise windows of a series or an image, or all of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import tensorflow as tf

from layers.core.arguments import choice, sizes
from layers.core.base import Layer
from layers.core.errors import LayerError
from layers.core.specs import describe
from layers.core.windows import AXES, FORMATS, PADDINGS, check_fit, with_any_batch


class _Pool(Layer):
    """``operation`` on each window over ``rank`` axes."""

    rank: int
    operation: Callable[..., tf.Tensor]

    def __init__(
        self,
        size: int | Sequence[int] = 2,
        strides: int | Sequence[int] | None = None,
        padding: Literal["same", "valid"] = "valid",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.size = sizes(self, "size", size, self.rank)
        self.strides = self.size if strides is None else sizes(self, "strides", strides, self.rank)
        self.padding = choice(self, "padding", padding, PADDINGS)

    def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        self.require_rank(x, self.rank + 2, AXES[self.rank])
        check_fit(self, x, self.size, self.padding, dilation=(1,) * self.rank)
        how = (self.size, self.strides, self.padding.upper(), FORMATS[self.rank])
        return with_any_batch(lambda x: self.operation(x, *how), self.cast(x))


class MaxPool1D(_Pool):
    """The largest value in each window of time.

    ``[batch, time, channels] -> [batch, time', channels]``, with the arguments of ``MaxPool2D``.
    """

    rank = 1
    operation = staticmethod(tf.nn.max_pool)


class MaxPool2D(_Pool):
    """The largest value in each window.

    ``[batch, height, width, channels] -> [batch, height', width', channels]``. With ``valid`` the
    output's height is ``floor((height - size) / stride) + 1``, with ``same``
    ``ceil(height / stride)``.

    Args:
        size: height and width of the window, or one number for both.
        strides: steps of the window; ``None``: its size, so that windows do not overlap.
        padding: ``valid`` uses whole windows only, ``same`` those over the edge too.
    """

    rank = 2
    operation = staticmethod(tf.nn.max_pool)


class AvgPool1D(_Pool):
    """The mean of each window of time; with padding ``same``, of the part of it that exists.

    Shapes and arguments are those of ``MaxPool1D``.
    """

    rank = 1
    operation = staticmethod(tf.nn.avg_pool)


class AvgPool2D(_Pool):
    """The mean of each window; with padding ``same``, of the part of it that lies in the image.

    Shapes and arguments are those of ``MaxPool2D``.
    """

    rank = 2
    operation = staticmethod(tf.nn.avg_pool)


class GlobalAvgPool1D(Layer):
    """The mean over time: ``[batch, time, channels] -> [batch, channels]``.

    With a mask ``[batch, time]``, ``layer(x, mask=…)``, over the positions where it is true; an
    example without any gives zeros.
    """

    def call(self, x: tf.Tensor, training: bool, mask: tf.Tensor | None = None) -> tf.Tensor:
        self.require_rank(x, 3, AXES[1])
        x = tf.cast(x, self.statistics_dtype)
        if mask is None:
            return self.cast(tf.reduce_mean(x, 1))
        counts = _positions(self, mask)
        total = tf.reduce_sum(tf.where(counts, x, tf.zeros_like(x)), 1)
        return self.cast(tf.math.divide_no_nan(total, tf.reduce_sum(tf.cast(counts, x.dtype), 1)))


class GlobalAvgPool2D(Layer):
    """The mean over height and width: ``[batch, height, width, channels] -> [batch, channels]``."""

    def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        self.require_rank(x, 4, AXES[2])
        return self.cast(tf.reduce_mean(tf.cast(x, self.statistics_dtype), [1, 2]))


class GlobalMaxPool1D(Layer):
    """The largest value over time: ``[batch, time, channels] -> [batch, channels]``.

    With a mask ``[batch, time]``, ``layer(x, mask=…)``, over the positions where it is true; an
    example without any gives zeros.
    """

    def call(self, x: tf.Tensor, training: bool, mask: tf.Tensor | None = None) -> tf.Tensor:
        self.require_rank(x, 3, AXES[1])
        x = self.cast(x)
        if mask is None:
            return tf.reduce_max(x, 1)
        counts = _positions(self, mask)
        largest = tf.reduce_max(tf.where(counts, x, tf.constant(-math.inf, x.dtype)), 1)
        return tf.where(tf.reduce_any(counts, 1), largest, tf.zeros_like(largest))


class GlobalMaxPool2D(Layer):
    """The largest value of a channel: ``[batch, height, width, channels] -> [batch, channels]``."""

    def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        self.require_rank(x, 4, AXES[2])
        return tf.reduce_max(self.cast(x), [1, 2])


def _positions(layer: Layer, mask: tf.Tensor) -> tf.Tensor:
    """``mask [batch, time]`` beside the channels: ``[batch, time, 1]``."""
    if mask.shape.rank != 2:
        raise LayerError(f"{layer.label}: expects a mask [batch, time], got {describe(mask)}")
    return tf.cast(mask, tf.bool)[..., None]
