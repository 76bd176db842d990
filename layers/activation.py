"""An activation as a layer of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from layers import activations
from layers.core.base import Layer


class Activation(Layer):
    """``function(x)``, one value at a time; the shape stays.

    Args:
        function: name in ``layers.activations``, or a function of one tensor.
    """

    def __init__(self, function: str | Callable[..., Any], **options: Any) -> None:
        super().__init__(**options)
        self.function = activations.get(function)

    def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        return self.function(self.cast(x))
