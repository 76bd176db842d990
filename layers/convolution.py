"""Convolutions over a series, an image or a volume."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Literal

import tensorflow as tf

from layers import activations, initializers
from layers.core.arguments import choice, sizes, whole
from layers.core.base import Layer
from layers.core.errors import LayerError
from layers.core.specs import describe
from layers.core.windows import AXES, FORMATS, PADDINGS, check_fit, with_any_batch


class Convolution(Layer):
    """What all convolutions share: a kernel ``w`` over ``rank`` axes, then ``b``, an activation.

    A subclass sets ``rank`` and writes ``kernel`` and ``convolve``.
    """

    rank: int

    def __init__(
        self,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: Literal["same", "valid"] = "same",
        activation: str | Callable[..., Any] | None = None,
        use_bias: bool = True,
        kernel_initializer: str | Callable[..., Any] = "he_normal",
        bias_initializer: str | Callable[..., Any] = "zeros",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.kernel_size = sizes(self, "kernel_size", kernel_size, self.rank)
        self.strides = sizes(self, "strides", strides, self.rank)
        self.padding = choice(self, "padding", padding, PADDINGS)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)

    def kernel(self, x: tf.TensorSpec, channels: int) -> tuple[list[int], int]:
        """The shape of ``w`` for inputs like ``x``, and how many channels come out."""
        raise TypeError(f"{type(self).__name__} must define kernel(self, x, channels)")

    def convolve(self, x: tf.Tensor, w: tf.Tensor) -> tf.Tensor:
        """``x`` and ``w``, both in the compute dtype, convolved; the batch is not empty."""
        raise TypeError(f"{type(self).__name__} must define convolve(self, x, w)")

    def build(self, x: tf.TensorSpec) -> None:
        self.require_rank(x, self.rank + 2, AXES[self.rank])
        self.channels = self.require_known(x)
        shape, outputs = self.kernel(x, self.channels)
        self.w = self.weight("w", shape, self.kernel_initializer)
        if self.use_bias:
            self.b = self.weight("b", [outputs], self.bias_initializer)

    def check(self, x: tf.Tensor) -> None:
        """Raise ``LayerError`` where the layer cannot take ``x``."""
        self.require_rank(x, self.rank + 2, AXES[self.rank])
        self.require_size(x, self.channels)

    def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        self.check(x)
        w = self.cast(self.w)
        y = with_any_batch(lambda x: self.convolve(x, w), self.cast(x))
        if self.use_bias:
            y = tf.nn.bias_add(y, self.cast(self.b))
        return self.activation(y)

    def dilated(self, dilation: int | Sequence[int]) -> tuple[int, ...]:
        """``dilation`` along each axis; ``LayerError`` where the strides do not allow it."""
        steps = sizes(self, "dilation", dilation, self.rank)
        if max(self.strides) > 1 and max(steps) > 1:
            raise LayerError(
                f"{self.label}: strides {list(self.strides)} and dilation {list(steps)} cannot "
                "both be larger than 1"
            )
        return steps


class _Conv(Convolution):
    """``Conv1D``, ``Conv2D`` and ``Conv3D``."""

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: Literal["same", "valid"] = "same",
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
        **options: Any,
    ) -> None:
        super().__init__(kernel_size, strides, padding, **options)
        self.filters = whole(self, "filters", filters)
        self.dilation = self.dilated(dilation)
        self.groups = whole(self, "groups", groups)
        if self.filters % self.groups:
            raise LayerError(
                f"{self.label}: {self.filters} filters cannot be split into {self.groups} groups"
            )

    def kernel(self, x: tf.TensorSpec, channels: int) -> tuple[list[int], int]:
        if channels % self.groups:
            raise LayerError(
                f"{self.label}: the channels of {describe(x)} cannot be split into {self.groups} "
                "groups"
            )
        return [*self.kernel_size, channels // self.groups, self.filters], self.filters

    def check(self, x: tf.Tensor) -> None:
        super().check(x)
        check_fit(self, x, self.kernel_size, self.padding, self.dilation)

    def convolve(self, x: tf.Tensor, w: tf.Tensor) -> tf.Tensor:
        def convolved(x: tf.Tensor, w: tf.Tensor) -> tf.Tensor:
            return tf.nn.convolution(
                x,
                w,
                self.strides,
                "SAME" if self.padding == "same" else "VALID",
                data_format=FORMATS[self.rank],
                dilations=self.dilation,
            )

        if self.groups == 1 or _trains_grouped(self.rank, x.dtype.name):
            return convolved(x, w)
        parts = zip(tf.split(x, self.groups, -1), tf.split(w, self.groups, -1), strict=True)
        return tf.concat([convolved(part, kernel) for part, kernel in parts], -1)


class Conv1D(_Conv):
    """``activation(convolution of x with w, + b)`` over time.

    ``[batch, time, channels] -> [batch, time', filters]``, with the sizes and arguments of
    ``Conv2D``.

    Args:
        padding: ``causal`` too: zeros go before the first step only, so that an output sees its own
            step and earlier ones (van den Oord et al. 2016). Sizes are those of ``same``.
    """

    rank = 1

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: Literal["same", "valid", "causal"] = "same",
        **options: Any,
    ) -> None:
        super().__init__(filters, kernel_size, strides, **options)
        self.padding = choice(self, "padding", padding, (*PADDINGS, "causal"))

    def convolve(self, x: tf.Tensor, w: tf.Tensor) -> tf.Tensor:
        if self.padding == "causal":
            x = tf.pad(x, [[0, 0], [self.dilation[0] * (self.kernel_size[0] - 1), 0], [0, 0]])
        return super().convolve(x, w)


class Conv2D(_Conv):
    """``activation(convolution of x with w, + b)`` over height and width.

    ``[batch, height, width, channels] -> [batch, height', width', filters]``. With ``same`` the
    output's height is ``ceil(height / stride)``, with ``valid``
    ``ceil((height - dilation * (kernel - 1)) / stride)``. ``w`` is
    ``[*kernel_size, channels / groups, filters]``.

    Args:
        filters: output channels.
        kernel_size: height and width of the window, or one number for both.
        strides: steps of the window; larger than 1 only without dilation.
        padding: ``same`` pads with zeros, ``valid`` uses whole windows only.
        dilation: distance between the window's points.
        groups: channels and filters are split into this many parts that do not see each other.
        activation: name in ``layers.activations``, a function, or ``None`` for none.
        use_bias: set it to ``False`` before a BatchNorm, which takes the bias out again.
        kernel_initializer: He et al. 2015 by default, made for rectified units.
    """

    rank = 2


class Conv3D(_Conv):
    """``activation(convolution of x with w, + b)`` over depth, height and width.

    ``[batch, depth, height, width, channels] -> [batch, depth', height', width', filters]``, with
    the sizes and arguments of ``Conv2D``.
    """

    rank = 3


@cache
def _trains_grouped(rank: int, dtype: str) -> bool:
    """Whether TensorFlow differentiates grouped convolutions here; where not, they are taken apart.

    On CPU (2.21) it does with oneDNN only, and never those over three axes or in float64. With many
    groups it is two or three times faster than one convolution after the other.
    """
    if rank == 3 or dtype == "float64":
        return False
    with tf.init_scope(), tf.device("CPU"):
        try:  # two channels, each by itself; the tape would record nothing in an init_scope
            tf.raw_ops.Conv2DBackpropInput(
                input_sizes=[1, 1, 1, 2],
                filter=tf.ones([1, 1, 1, 2], dtype),
                out_backprop=tf.ones([1, 1, 1, 2], dtype),
                strides=[1, 1, 1, 1],
                padding="VALID",
            )
        except tf.errors.OpError:
            return False
    return True
