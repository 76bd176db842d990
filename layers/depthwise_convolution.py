"""Convolutions that treat each channel by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import tensorflow as tf

from layers.convolution import Conv2D, Convolution
from layers.core.arguments import whole
from layers.core.base import Layer
from layers.core.errors import LayerError
from layers.core.windows import check_fit
from layers.initializers import Initializer


class DepthwiseConv2D(Convolution):
    """``activation(convolution of each channel of x with its own kernels in w, + b)``.

    ``[batch, height, width, channels] -> [batch, height', width', channels * depth_multiplier]``,
    with the sizes of ``Conv2D``; the outputs of one channel lie side by side. ``w`` is
    ``[*kernel_size, channels, depth_multiplier]``.

    Args:
        kernel_size: height and width of the window, or one number for both.
        strides: steps of the window, the same for both axes; larger than 1 only without dilation.
        padding: ``same`` pads with zeros, ``valid`` uses whole windows only.
        depth_multiplier: how many outputs each channel has.
        dilation: distance between the window's points.
        activation: name in ``layers.activations``, a function, or ``None`` for none.
        use_bias: set it to ``False`` before a BatchNorm, which takes the bias out again.
        kernel_initializer: He et al. 2015 by default, made for rectified units. The fan-in is what
            an output sees: the window, of one channel.
    """

    rank = 2

    def __init__(
        self,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: Literal["same", "valid"] = "same",
        depth_multiplier: int = 1,
        dilation: int | Sequence[int] = 1,
        **options: Any,
    ) -> None:
        super().__init__(kernel_size, strides, padding, **options)
        self.depth_multiplier = whole(self, "depth_multiplier", depth_multiplier)
        self.dilation = self.dilated(dilation)
        self.kernel_initializer = _each_channel(self.kernel_initializer)
        if len(set(self.strides)) > 1:
            raise LayerError(
                f"{self.label}: strides must be the same for both axes; got {list(self.strides)}"
            )

    def kernel(self, x: tf.TensorSpec, channels: int) -> tuple[list[int], int]:
        shape = [*self.kernel_size, channels, self.depth_multiplier]
        return shape, channels * self.depth_multiplier

    def check(self, x: tf.Tensor) -> None:
        super().check(x)
        check_fit(self, x, self.kernel_size, self.padding, self.dilation)

    def convolve(self, x: tf.Tensor, w: tf.Tensor) -> tf.Tensor:
        strides = [1, *self.strides, 1]
        return tf.nn.depthwise_conv2d(x, w, strides, self.padding.upper(), dilations=self.dilation)


class SeparableConv2D(Layer):
    """A ``DepthwiseConv2D``, then a ``Conv2D`` with windows of one point (Chollet 2017).

    ``[batch, height, width, channels] -> [batch, height', width', filters]``, with the sizes of
    ``Conv2D``. The weights are ``depthwise/w``, ``pointwise/w`` and ``pointwise/b``.

    Args:
        filters: output channels.
        kernel_size, strides, padding, depth_multiplier, dilation: of the depthwise convolution.
        activation: name in ``layers.activations``, a function, or ``None``; after both.
        use_bias: set it to ``False`` before a BatchNorm, which takes the bias out again.
        depthwise_initializer: LeCun et al. 1998 by default: nothing is rectified between the two.
        pointwise_initializer: He et al. 2015 by default, made for rectified units.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: Literal["same", "valid"] = "same",
        depth_multiplier: int = 1,
        dilation: int | Sequence[int] = 1,
        activation: str | Callable[..., Any] | None = None,
        use_bias: bool = True,
        depthwise_initializer: str | Callable[..., Any] = "lecun_normal",
        pointwise_initializer: str | Callable[..., Any] = "he_normal",
        bias_initializer: str | Callable[..., Any] = "zeros",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.depthwise = DepthwiseConv2D(
            kernel_size,
            strides,
            padding,
            depth_multiplier,
            dilation,
            use_bias=False,
            kernel_initializer=depthwise_initializer,
        )
        self.pointwise = Conv2D(
            filters,
            kernel_size=1,
            activation=activation,
            use_bias=use_bias,
            kernel_initializer=pointwise_initializer,
            bias_initializer=bias_initializer,
        )

    def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        return self.pointwise(self.depthwise(x, training=training), training=training)


def _each_channel(initializer: Initializer) -> Initializer:
    """Initial values of a kernel ``[*window, channels, multiplier]`` by the fan-in that it has.

    An output sees one channel: the kernel is that of as many groups as there are channels.
    """

    def draw(shape: Sequence[int], dtype: str, seed: tf.Tensor) -> tf.Tensor:
        *window, channels, multiplier = shape
        return tf.reshape(initializer([*window, 1, channels * multiplier], dtype, seed), shape)

    return draw
