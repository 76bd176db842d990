"""Batch normalisation, exact over replicas.

Statistics are taken in float32 also where the layer computes in bfloat16.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from layers.core.arguments import number
from layers.core.base import Layer
from layers.core.replicas import alone, sum_over_replicas

# cuDNN has no smaller one.
LEAST_FUSED_EPSILON = 1.001e-5


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
        scale = tf.cast(self.scale, x.dtype) if self.use_scale else None
        offset = tf.cast(self.offset, x.dtype) if self.use_offset else None
        if not training or self.frozen("moving_mean"):
            deviation, variance = x - self.moving_mean, self.moving_variance
        elif self._fusible(x):
            return self.cast(self._fused(x, scale, offset))
        else:
            deviation, variance = self._normalise_by_batch(x)
        factor = tf.math.rsqrt(variance + self.epsilon)
        y = deviation * (factor if scale is None else factor * scale)
        return self.cast(y if offset is None else y + offset)

    def _fusible(self, x: tf.Tensor) -> bool:
        """Whether TensorFlow's own operation can do it, and quicker.

        It sees one replica, and float32. Beginning it takes as long as all the steps together do
        for a batch of some tens of thousands of numbers, as one of vectors mostly is.
        """
        one_replica = alone() or not self.over_replicas
        can = one_replica and x.dtype == tf.float32 and self.epsilon >= LEAST_FUSED_EPSILON
        return can and x.shape.rank > 2

    def _fused(self, x: tf.Tensor, scale: tf.Tensor | None, offset: tf.Tensor | None) -> tf.Tensor:
        """The whole of it in one operation, and its gradient in another.

        On a CPU they take a quarter to two thirds of the time of the steps, each of which goes
        through all of ``x``: experiments/speed/batch_norm.py.
        """
        channels = x.shape[-1]
        fused = tf.raw_ops.FusedBatchNormV3(
            x=tf.reshape(x, [-1, 1, 1, channels]) if x.shape.rank != 4 else x,
            scale=tf.ones([channels]) if scale is None else scale,
            offset=tf.zeros([channels]) if offset is None else offset,
            mean=tf.zeros([0]),  # it is to give the batch's statistics, not to move any
            variance=tf.zeros([0]),
            epsilon=self.epsilon,
            is_training=True,
        )
        count = tf.cast(tf.reduce_prod(tf.shape(x)[:-1]), x.dtype)
        # It gives the variance of the population that the batch is a sample of.
        variance = fused.batch_variance * tf.maximum(count - 1.0, 1.0) / tf.maximum(count, 1.0)
        self._move(fused.batch_mean, variance, count)
        return tf.reshape(fused.y, tf.shape(x))

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
        self._move(mean, variance, count)
        return deviation, variance

    def _move(self, mean: tf.Tensor, variance: tf.Tensor, count: tf.Tensor) -> None:
        """Moves the moving statistics; without an example they stay."""
        for moving, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moved = moving * self.momentum + value * (1.0 - self.momentum)
            moving.assign(tf.where(count > 0.0, moved, moving))

    def _sum(self, values: list[tf.Tensor]) -> list[tf.Tensor]:
        return sum_over_replicas(values) if self.over_replicas else values
