"""Layers that bring each example to a fixed mean and spread, then scale and shift it.

They do the same in training and evaluation, and know nothing of the other examples. Statistics are
taken in float32 also where the layer computes in bfloat16, and in two passes: ``mean(x^2) -
mean(x)^2`` would lose the digits of a variance that is small beside the mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from layers.core.arguments import number, whole
from layers.core.axes import axes_of, axes_tuple, beside
from layers.core.base import Layer
from layers.core.errors import LayerError
from layers.core.specs import describe


class LayerNorm(Layer):
    """``(x - mean) / sqrt(variance + epsilon) * scale + offset``, example by example.

    ``[batch, ..., channels] -> the same``.

    The statistics are taken over ``axis`` of each example (Ba et al. 2016), the same in training
    and evaluation; the variance is the biased one.

    Args:
        axis: one axis or several, not the batch's. ``scale`` and ``offset`` have their sizes.
        epsilon: keeps the division away from zero.
        use_scale, use_offset: whether there is a trainable ``scale`` and ``offset``.
    """

    def __init__(
        self,
        axis: int | Sequence[int] = -1,
        epsilon: float = 1e-5,
        use_scale: bool = True,
        use_offset: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.axis = axes_tuple(axis)
        self.epsilon = number(self, "epsilon", epsilon, least=0.0)
        self.use_scale = use_scale
        self.use_offset = use_offset

    def build(self, x: tf.TensorSpec) -> None:
        self.require_axes(x, 2, "[batch, ..., channels]")
        sizes = [self.require_known(x, axis) for axis in axes_of(self, self.axis, x)]
        if self.use_scale:
            self.scale = self.weight("scale", sizes, "ones")
        if self.use_offset:
            self.offset = self.weight("offset", sizes, "zeros")

    def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        axes = axes_of(self, self.axis, x)
        y = _standardised(tf.cast(x, self.statistics_dtype), axes, self.epsilon)
        if self.use_scale:
            y *= beside(self, self.scale, y, axes)
        if self.use_offset:
            y += beside(self, self.offset, y, axes)
        return self.cast(y)


class RMSNorm(Layer):
    """``x / sqrt(mean(x^2) + epsilon) * scale``, example by example (Zhang and Sennrich 2019).

    ``[batch, ..., channels] -> the same``.

    Cheaper than ``LayerNorm`` and, in Transformers, as good: the mean is left in.

    Args:
        axis: one axis or several, not the batch's. ``scale`` has their sizes.
        epsilon: keeps the division away from zero.
        use_scale: whether there is a trainable ``scale``.
    """

    def __init__(
        self,
        axis: int | Sequence[int] = -1,
        epsilon: float = 1e-6,
        use_scale: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.axis = axes_tuple(axis)
        self.epsilon = number(self, "epsilon", epsilon, least=0.0)
        self.use_scale = use_scale

    def build(self, x: tf.TensorSpec) -> None:
        self.require_axes(x, 2, "[batch, ..., channels]")
        sizes = [self.require_known(x, axis) for axis in axes_of(self, self.axis, x)]
        if self.use_scale:
            self.scale = self.weight("scale", sizes, "ones")

    def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        axes = axes_of(self, self.axis, x)
        x = tf.cast(x, self.statistics_dtype)
        y = x * tf.math.rsqrt(tf.reduce_mean(tf.square(x), axes, keepdims=True) + self.epsilon)
        if self.use_scale:
            y *= beside(self, self.scale, y, axes)
        return self.cast(y)


class GroupNorm(Layer):
    """``(x - mean) / sqrt(variance + epsilon) * scale + offset``, by groups of channels.

    ``[batch, ..., channels]``: the statistics of each example are taken over one group of
    neighbouring channels and all places (Wu and He 2018); the variance is the biased one. ``scale``
    and ``offset`` have one value a channel.

    Args:
        groups: how many; it divides the channels. One group is a ``LayerNorm`` over all axes, but
            for the parameters.
        epsilon: keeps the division away from zero.
        use_scale, use_offset: whether there is a trainable ``scale`` and ``offset``.
    """

    def __init__(
        self,
        groups: int,
        epsilon: float = 1e-5,
        use_scale: bool = True,
        use_offset: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.groups = whole(self, "groups", groups)
        self.epsilon = number(self, "epsilon", epsilon, least=0.0)
        self.use_scale = use_scale
        self.use_offset = use_offset

    def build(self, x: tf.TensorSpec) -> None:
        self.require_axes(x, 2, "[batch, ..., channels]")
        channels = self.require_known(x)
        if channels % self.groups:
            possible = [str(n) for n in range(1, channels + 1) if channels % n == 0]
            raise LayerError(
                f"{self.label}: groups={self.groups} does not divide the {channels} channels of "
                f"{describe(x)}; possible: {', '.join(possible)}"
            )
        if self.use_scale:
            self.scale = self.weight("scale", [channels], "ones")
        if self.use_offset:
            self.offset = self.weight("offset", [channels], "zeros")

    def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        x = tf.cast(x, self.statistics_dtype)
        channels = self.require_known(x)
        shape = tf.shape(x)
        split = tf.concat([shape[:-1], [self.groups, channels // self.groups]], 0)
        places = list(range(1, x.shape.rank - 1))
        grouped = _standardised(tf.reshape(x, split), [*places, x.shape.rank], self.epsilon)
        y = tf.ensure_shape(tf.reshape(grouped, shape), x.shape)
        if self.use_scale:
            y *= beside(self, self.scale, y, [x.shape.rank - 1])
        if self.use_offset:
            y += beside(self, self.offset, y, [x.shape.rank - 1])
        return self.cast(y)


class InstanceNorm(GroupNorm):
    """``(x - mean) / sqrt(variance + epsilon) * scale + offset``, each channel by itself.

    ``[batch, places ..., channels]``: the statistics of each example and channel are taken over all
    places (Ulyanov et al. 2016): a ``GroupNorm`` with as many groups as channels.

    Args:
        epsilon: keeps the division away from zero.
        use_scale, use_offset: whether there is a trainable ``scale`` and ``offset``.
    """

    def __init__(
        self,
        epsilon: float = 1e-5,
        use_scale: bool = True,
        use_offset: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(1, epsilon, use_scale, use_offset, **options)

    def build(self, x: tf.TensorSpec) -> None:
        # Without places each value would be its own mean, and the output the offset alone.
        self.require_axes(x, 3, "[batch, places ..., channels]")
        self.groups = self.require_known(x)
        super().build(x)


def _standardised(x: tf.Tensor, axes: Sequence[int], epsilon: float) -> tf.Tensor:
    deviation = x - tf.reduce_mean(x, axes, keepdims=True)
    variance = tf.reduce_mean(tf.square(deviation), axes, keepdims=True)
    return deviation * tf.math.rsqrt(variance + epsilon)
