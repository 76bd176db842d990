"""A bias as a layer of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from layers import initializers
from layers.core.base import Layer


class Bias(Layer):
    """``x + b``, one value a feature: ``[batch, ..., features]``.

    Args:
        bias_initializer: name in ``layers.initializers``, or a function.
    """

    def __init__(
        self, bias_initializer: str | Callable[..., Any] = "zeros", **options: Any
    ) -> None:
        super().__init__(**options)
        self.bias_initializer = initializers.get(bias_initializer)

    def build(self, x: tf.TensorSpec) -> None:
        self.require_axes(x, 2, "[batch, ..., features]")
        self.b = self.weight("b", [self.require_known(x)], self.bias_initializer)

    def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        self.require_size(x, self.b.shape[0])
        return self.cast(x) + self.cast(self.b)
