"""Layers that summarise windows of an image, or all of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from layers.core.arguments import choice, sizes
from layers.core.base import Layer
from layers.core.windows import PADDINGS, check_fit


class MaxPool2D(Layer):
    """The largest value in each window.

    ``[batch, height, width, channels] -> [batch, height', width', channels]``.

    Args:
        size: height and width of the window, or one number for both.
        strides: steps of the window; ``None``: its size, so that windows do not overlap.
        padding: ``valid`` uses whole windows only, ``same`` those over the edge too.
    """

    def __init__(
        self,
        size: int | Sequence[int] = 2,
        strides: int | Sequence[int] | None = None,
        padding: str = "valid",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.size = sizes(self, "size", size, 2)
        self.strides = self.size if strides is None else sizes(self, "strides", strides, 2)
        self.padding = choice(self, "padding", padding, PADDINGS)

    def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        return self._pool(tf.nn.max_pool2d, x)

    def _pool(self, operation: Any, x: tf.Tensor) -> tf.Tensor:
        self.require_rank(x, 4, "[batch, height, width, channels]")
        check_fit(self, x, self.size, self.padding, dilation=(1, 1))
        return operation(self.cast(x), self.size, self.strides, self.padding.upper())


class AvgPool2D(MaxPool2D):
    """The mean of each window; with padding ``same``, of the part of it that lies in the image.

    Shapes and arguments are those of ``MaxPool2D``.
    """

    def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        return self._pool(tf.nn.avg_pool2d, x)


class GlobalAvgPool2D(Layer):
    """The mean over height and width: ``[batch, height, width, channels] -> [batch, channels]``."""

    def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        self.require_rank(x, 4, "[batch, height, width, channels]")
        return self.cast(tf.reduce_mean(tf.cast(x, self.statistics_dtype), [1, 2]))
