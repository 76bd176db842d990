"""Convolutions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from layers import activations, initializers
from layers.core.arguments import choice, sizes, whole
from layers.core.base import Layer
from layers.core.errors import LayerError
from layers.core.specs import describe
from layers.core.windows import PADDINGS, check_fit, with_any_batch


class Conv2D(Layer):
    """``activation(convolution of x with w, + b)``.

    ``[batch, height, width, channels] -> [batch, height', width', filters]``. With ``same`` the
    output's height is ``ceil(height / stride)``, with ``valid``
    ``ceil((height - dilation * (kernel - 1)) / stride)``.

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

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: str = "same",
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
        activation: str | Callable[..., Any] | None = None,
        use_bias: bool = True,
        kernel_initializer: str | Callable[..., Any] = "he_normal",
        bias_initializer: str | Callable[..., Any] = "zeros",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.filters = whole(self, "filters", filters)
        self.kernel_size = sizes(self, "kernel_size", kernel_size, 2)
        self.strides = sizes(self, "strides", strides, 2)
        self.padding = choice(self, "padding", padding, PADDINGS)
        self.dilation = sizes(self, "dilation", dilation, 2)
        self.groups = whole(self, "groups", groups)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        if max(self.strides) > 1 and max(self.dilation) > 1:
            raise LayerError(
                f"{self.label}: strides {list(self.strides)} and dilation {list(self.dilation)} "
                "cannot both be larger than 1"
            )
        if self.filters % self.groups:
            raise LayerError(
                f"{self.label}: {self.filters} filters cannot be split into {self.groups} groups"
            )

    def build(self, x: tf.TensorSpec) -> None:
        self.require_rank(x, 4, "[batch, height, width, channels]")
        channels = self.require_known(x)
        if channels % self.groups:
            raise LayerError(
                f"{self.label}: the channels of {describe(x)} cannot be split into {self.groups} "
                "groups"
            )
        shape = [*self.kernel_size, channels // self.groups, self.filters]
        self.w = self.weight("w", shape, self.kernel_initializer)
        if self.use_bias:
            self.b = self.weight("b", [self.filters], self.bias_initializer)

    def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        self.require_rank(x, 4, "[batch, height, width, channels]")
        self.require_size(x, self.w.shape[-2] * self.groups)
        check_fit(self, x, self.kernel_size, self.padding, self.dilation)
        w = self.cast(self.w)
        y = with_any_batch(
            lambda x: tf.nn.convolution(
                x, w, self.strides, self.padding.upper(), dilations=self.dilation
            ),
            self.cast(x),
        )
        if self.use_bias:
            y = tf.nn.bias_add(y, self.cast(self.b))
        return self.activation(y)
