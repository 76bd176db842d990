"""An activation as a layer of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from layers import activations, initializers
from layers.core.axes import axes_of, axes_tuple
from layers.core.base import Layer
from layers.core.errors import LayerError
from layers.core.specs import describe

_QUARTER = initializers.constant(0.25)


class Activation(Layer):
    """``function(x)``, one value at a time: ``[batch, ...] -> the same``.

    Args:
        function: name in ``layers.activations``, or a function of one tensor.
    """

    def __init__(self, function: str | Callable[..., Any], **options: Any) -> None:
        super().__init__(**options)
        self.function = activations.get(function)

    def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        return self.function(self.cast(x))


class Identity(Layer):
    """``x``, as it is, to take the place of a layer: ``[batch, ...] -> the same``."""

    def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        return x


class PReLU(Layer):
    """``x`` where it is positive, ``alpha * x`` where it is negative (He et al. 2015).

    ``[batch, ...] -> the same``.

    ``alpha`` is trained, ``[1 or size, ...]``: the sizes of the input without the batch, with 1 for
    the axes that share it.

    Args:
        shared_axes: the axes along which there is one ``alpha``, counted with the batch as axis 0;
            ``[1, 2]`` makes one a channel of an image. They are those whose size may be unknown.
        alpha_initializer: 0.25 by default, as in the paper (Keras begins with 0).
    """

    def __init__(
        self,
        shared_axes: int | Sequence[int] = (),
        alpha_initializer: str | Callable[..., Any] = _QUARTER,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.shared_axes = axes_tuple(shared_axes)
        self.alpha_initializer = initializers.get(alpha_initializer)

    def build(self, x: tf.TensorSpec) -> None:
        self.require_axes(x, 2, "[batch, ...]")
        shared = axes_of(self, self.shared_axes, x, "shared_axes")
        sizes = [
            1 if axis in shared else self.require_known(x, axis) for axis in range(1, x.shape.rank)
        ]
        self.alpha = self.weight("alpha", sizes, self.alpha_initializer)

    def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        own = [None if size == 1 else size for size in self.alpha.shape]
        if not x.shape[1:].is_compatible_with(own):
            raise LayerError(f"{self.label}: was built for {[None, *own]}, got {describe(x)}")
        x = self.cast(x)
        return tf.nn.relu(x) - self.cast(self.alpha) * tf.nn.relu(-x)
