"""Transposed convolutions, which enlarge a series or an image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import tensorflow as tf

from layers.convolution import Convolution
from layers.core.arguments import whole
from layers.core.windows import FORMATS
from layers.initializers import Initializer


class _ConvTranspose(Convolution):
    """``ConvTranspose1D`` and ``ConvTranspose2D``."""

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: Literal["same", "valid"] = "same",
        **options: Any,
    ) -> None:
        super().__init__(kernel_size, strides, padding, **options)
        self.filters = whole(self, "filters", filters)
        self.kernel_initializer = _as_convolution(self.kernel_initializer, self.strides)

    def kernel(self, x: tf.TensorSpec, channels: int) -> tuple[list[int], int]:
        return [*self.kernel_size, self.filters, channels], self.filters

    def convolve(self, x: tf.Tensor, w: tf.Tensor) -> tf.Tensor:
        given = tf.shape(x)
        sizes: list[Any] = []
        for axis, (window, step) in enumerate(zip(self.kernel_size, self.strides, strict=True), 1):
            size = given[axis] if x.shape[axis] is None else x.shape[axis]
            beyond = 0 if self.padding == "same" else max(window - step, 0)
            sizes.append(size * step + beyond)
        return tf.nn.conv_transpose(
            x,
            w,
            tf.stack([given[0], *sizes, self.filters]),
            self.strides,
            self.padding.upper(),
            data_format=FORMATS[self.rank],
        )


class ConvTranspose1D(_ConvTranspose):
    """``activation(transposed convolution of x with w, + b)`` over time.

    ``[batch, time, channels] -> [batch, time', filters]``, with the sizes and arguments of
    ``ConvTranspose2D``.
    """

    rank = 1


class ConvTranspose2D(_ConvTranspose):
    """``activation(transposed convolution of x with w, + b)`` over height and width.

    ``[batch, height, width, channels] -> [batch, height', width', filters]``: the way back of a
    ``Conv2D`` (Zeiler et al. 2010). With ``same`` the output's height is ``height * stride``, with
    ``valid`` ``height * stride + max(kernel - stride, 0)``. ``w`` is
    ``[*kernel_size, filters, channels]``.

    Args:
        filters: output channels.
        kernel_size: height and width of the window, or one number for both. A multiple of the
            strides gives all outputs equally many inputs (Odena et al. 2016).
        strides: how many times larger the output is.
        padding: ``same`` cuts off what lies beyond the enlarged image, ``valid`` keeps it.
        activation: name in ``layers.activations``, a function, or ``None`` for none.
        use_bias: set it to ``False`` before a BatchNorm, which takes the bias out again.
        kernel_initializer: He et al. 2015 by default, made for rectified units. The fan-in is what
            an output sees: ``channels * ceil(kernel / stride)`` for each axis.
    """

    rank = 2


def _as_convolution(initializer: Initializer, strides: tuple[int, ...]) -> Initializer:
    """Initial values of a kernel ``[*window, filters, channels]`` by the fans that it has.

    A transposed convolution is a convolution with windows of ``ceil(window / stride)`` that makes
    all outputs between two inputs at once (Shi et al. 2016): drawn is the kernel of that one.
    """

    def draw(shape: Sequence[int], dtype: str, seed: tf.Tensor) -> tf.Tensor:
        *window, filters, channels = shape
        rank, outputs = len(window), math.prod(strides)
        parts = [-(-size // step) for size, step in zip(window, strides, strict=True)]
        value = initializer([*parts, channels, filters * outputs], dtype, seed)
        value = tf.reshape(value, [*parts, channels, filters, *strides])
        # Each part of the window beside the stride that it is divided by.
        pairs = [axis for i in range(rank) for axis in (i, rank + 2 + i)]
        value = tf.transpose(value, [*pairs, rank + 1, rank])
        enlarged = [part * step for part, step in zip(parts, strides, strict=True)]
        value = tf.reshape(value, [*enlarged, filters, channels])
        return value[tuple(slice(size) for size in window)]

    return draw
