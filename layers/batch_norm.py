"""Batch normalisation, exact over replicas.

Statistics are taken in float32 also where the layer computes in bfloat16.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from layers.core.arguments import number
from layers.core.base import Layer
from layers.core.replicas import sum_over_replicas


class BatchNorm(Layer):
    """``(x - mean) / sqrt(variance + epsilon) * scale + offset``, by channel (the last axis).

    ``[batch, ..., channels] -> the same``.

    In training the statistics are those of the batch (Ioffe and Szegedy 2015), in evaluation
    moving averages of them. The variance is the biased one, ``sum((x - mean)^2) / count``, in both,
    as in Keras. Where ``freeze`` names the moving statistics, training uses them as evaluation
    does and leaves them alone.

    Args:
        momentum: how much of the moving statistics each training step keeps.
        epsilon: keeps the division away from zero.
        use_scale, use_offset: whether there is a trainable ``scale`` and ``offset``.
        over_replicas: take the batch's statistics over all replicas, exactly, however the examples
            are spread over them; replicas wait for each other, so the layer must not be called in
            a ``tf.cond``, ``tf.while_loop`` or ``tf.function`` inside the replica's function.
            ``False``: each replica uses its own shard, and saved moving statistics are the mean
            over the replicas. With one replica there is no difference.
    """

    def __init__(
        self,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        use_scale: bool = True,
        use_offset: bool = True,
        over_replicas: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.momentum = number(self, "momentum", momentum, least=0.0, below=1.0)
        self.epsilon = number(self, "epsilon", epsilon, least=0.0)
        self.use_scale = use_scale
        self.use_offset = use_offset
        self.over_replicas = over_replicas

    def build(self, x: tf.TensorSpec) -> None:
        self.require_axes(x, 2, "[batch, ..., channels]")
        channels = [self.require_known(x)]
        if self.use_scale:
            self.scale = self.weight("scale", channels, "ones")
        if self.use_offset:
            self.offset = self.weight("offset", channels, "zeros")
        kind = "replicated" if self.over_replicas else "population"
        dtype = self.statistics_dtype
        self.moving_mean = self.state("moving_mean", channels, "zeros", kind, dtype)
        self.moving_variance = self.state("moving_variance", channels, "ones", kind, dtype)

    def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        self.require_size(x, self.moving_mean.shape[0])
        x = tf.cast(x, self.moving_mean.dtype)
        if training and not self.frozen("moving_mean"):
            deviation, variance = self._normalise_by_batch(x)
        else:
            deviation, variance = x - self.moving_mean, self.moving_variance
        factor = tf.math.rsqrt(variance + self.epsilon)
        if self.use_scale:
            factor *= tf.cast(self.scale, x.dtype)
        y = deviation * factor
        if self.use_offset:
            y += tf.cast(self.offset, x.dtype)
        return self.cast(y)

    def _normalise_by_batch(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """``x - mean`` and the variance; moves the moving statistics."""
        axes = list(range(x.shape.rank - 1))
        count = tf.cast(tf.reduce_prod(tf.shape(x)[:-1]), x.dtype)
        count, total = self._sum([count, tf.reduce_sum(x, axes)])
        count_or_1 = tf.maximum(count, 1.0)  # no example anywhere: nothing to divide
        mean = total / count_or_1
        # Two passes: sum(x^2) / count - mean^2 would lose the digits of a variance that is small
        # beside the mean.
        deviation = x - mean
        (squares,) = self._sum([tf.reduce_sum(tf.square(deviation), axes)])
        variance = squares / count_or_1
        for moving, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moved = moving * self.momentum + value * (1.0 - self.momentum)
            moving.assign(tf.where(count > 0.0, moved, moving))
        return deviation, variance

    def _sum(self, values: list[tf.Tensor]) -> list[tf.Tensor]:
        return sum_over_replicas(values) if self.over_replicas else values
