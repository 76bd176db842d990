"""A fully connected layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from layers import activations, initializers
from layers.core.arguments import whole
from layers.core.base import Layer


class Dense(Layer):
    """``activation(x @ w + b)`` over the last axis; any leading axes.

    ``[batch, ..., inputs] -> [batch, ..., units]``. The input's size is read when the layer is
    built.

    Args:
        units: size of the output's last axis.
        activation: name in ``layers.activations``, a function, or ``None`` for none.
        use_bias: set it to ``False`` before a BatchNorm, which takes the bias out again.
        kernel_initializer: He et al. 2015 by default, made for rectified units.
    """

    def __init__(
        self,
        units: int,
        activation: str | Callable[..., Any] | None = None,
        use_bias: bool = True,
        kernel_initializer: str | Callable[..., Any] = "he_normal",
        bias_initializer: str | Callable[..., Any] = "zeros",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.units = whole(self, "units", units)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)

    def build(self, x: tf.TensorSpec) -> None:
        self.require_axes(x, 2, "[batch, ..., inputs]")
        inputs = self.require_known(x)
        self.w = self.weight("w", [inputs, self.units], self.kernel_initializer)
        if self.use_bias:
            self.b = self.weight("b", [self.units], self.bias_initializer)

    def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        self.require_size(x, self.w.shape[0])
        x = self.cast(x)
        y = tf.tensordot(x, self.cast(self.w), 1) if x.shape.rank != 2 else x @ self.cast(self.w)
        if self.use_bias:
            y += self.cast(self.b)
        return self.activation(y)
