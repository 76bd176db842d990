"""Layers that keep statistics of what they see in training, over all replicas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from layers.core.arguments import number
from layers.core.axes import axes_of, axes_tuple, beside
from layers.core.base import Layer
from layers.core.errors import LayerError
from layers.core.replicas import sum_over_replicas
from layers.core.specs import describe


class MovingAverage(Layer):
    """The moving average of the batches' means, for every row: ``[batch, ...] -> [batch, ...]``.

    In training the mean over the examples of all replicas, however they are spread, first moves
    the average; evaluation gives the average as it stands, zeros at first. The weights of the past
    batches sum to 1 from the first batch on (the debiasing of Kingma and Ba 2015). No gradient
    passes. An empty batch moves nothing, nor does any where ``freeze`` names the average.

    Replicas wait for each other: do not call the layer in a ``tf.cond``, ``tf.while_loop`` or
    ``tf.function`` inside the replica's function.

    Args:
        decay: how much of the average a training step keeps, in [0, 1).
    """

    def __init__(self, decay: float, **options: Any) -> None:
        super().__init__(**options)
        self.decay = number(self, "decay", decay, least=0.0, below=1.0)

    def build(self, x: tf.TensorSpec) -> None:
        self.require_axes(x, 1, "[batch, ...]")
        shape = [self.require_known(x, axis) for axis in range(1, x.shape.rank)]
        dtype = self.statistics_dtype
        self.average = self.state("average", shape, "zeros", "replicated", dtype)
        # The sum of the weights of all batches so far: 1 - decay^steps.
        self.weight_sum = self.state("weight_sum", [], "zeros", "replicated", dtype)

    def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        shape = self.average.shape
        if not x.shape[1:].is_compatible_with(shape):  # a 1 would broadcast without a word
            raise LayerError(
                f"{self.label}: was built for {[None, *shape.as_list()]}, got {describe(x)}"
            )
        average = self.average.read_value()
        if training and not self.frozen("average"):
            average = self._move(tf.stop_gradient(tf.cast(x, average.dtype)), average)
        return self.cast(tf.broadcast_to(average, tf.shape(x)))

    def _move(self, x: tf.Tensor, average: tf.Tensor) -> tf.Tensor:
        count = tf.cast(tf.shape(x)[0], x.dtype)
        count, total = sum_over_replicas([count, tf.reduce_sum(x, 0)])
        mean = total / tf.maximum(count, 1.0)
        weight_sum = self.weight_sum * self.decay + (1.0 - self.decay)
        # The sum of the weighted means over that of the weights, without keeping the former.
        moved = average + (mean - average) * ((1.0 - self.decay) / weight_sum)
        average = tf.where(count > 0.0, moved, average)
        self.weight_sum.assign(tf.where(count > 0.0, weight_sum, self.weight_sum))
        self.average.assign(average)
        return average


class RunningStatistics(Layer):
    """``(x - mean) / sqrt(variance + epsilon)`` by feature, over all that training has seen.

    ``[batch, ...] -> the same``.

    In training the statistics take in the batch first, over all replicas, however the examples are
    spread; evaluation uses them as they stand, the identity at first. Unlike BatchNorm's they
    forget nothing, and no gradient passes through them: it is how observations are standardised in
    reinforcement learning. The variance is the biased one. An empty batch changes nothing, nor does
    any where ``freeze`` names the mean.

    Replicas wait for each other: do not call the layer in a ``tf.cond``, ``tf.while_loop`` or
    ``tf.function`` inside the replica's function.

    Args:
        axis: the axis or axes whose every index has a mean and a variance of its own, not the
            batch's; ``-1``: each feature; ``None``: one of each for all values together.
        epsilon: keeps the division away from zero.
    """

    def __init__(
        self, axis: int | Sequence[int] | None = -1, epsilon: float = 1e-8, **options: Any
    ) -> None:
        super().__init__(**options)
        self.axis = axes_tuple(() if axis is None else axis)
        self.epsilon = number(self, "epsilon", epsilon, least=0.0)

    def build(self, x: tf.TensorSpec) -> None:
        sizes = [self.require_known(x, axis) for axis in axes_of(self, self.axis, x)]
        # A float32 count stands still at 2^24, and a float32 mean of n values moves no more once
        # a batch's share of them is below 2^-24.
        self.count = self.state("count", [], "zeros", "replicated", "int64")
        self.mean = self.state("mean", sizes, "zeros", "replicated", "float64")
        self.variance = self.state("variance", sizes, "ones", "replicated", "float64")

    def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        axes = axes_of(self, self.axis, x)
        x = tf.cast(x, self.statistics_dtype)
        mean, variance = self.mean.read_value(), self.variance.read_value()
        if training and not self.frozen("mean"):
            mean, variance = self._take_in(tf.stop_gradient(x), axes, mean, variance)
        factor = tf.math.rsqrt(variance + self.epsilon)
        return self.cast((x - beside(self, mean, x, axes)) * beside(self, factor, x, axes))

    def _take_in(
        self, x: tf.Tensor, kept: list[int], mean: tf.Tensor, variance: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Merge the batch into the statistics (Chan et al. 1983); gives the new ones."""
        axes = [axis for axis in range(x.shape.rank) if axis not in kept]
        sizes = tf.gather(tf.shape(x), axes)
        count, total = sum_over_replicas(
            [tf.cast(tf.reduce_prod(sizes), x.dtype), tf.reduce_sum(x, axes)]
        )
        pivot = total / tf.maximum(count, 1.0)  # the mean, but for its rounding
        deviation = x - beside(self, pivot, x, kept)
        left, squares = sum_over_replicas(
            [tf.reduce_sum(deviation, axes), tf.reduce_sum(tf.square(deviation), axes)]
        )
        count, pivot, left, squares, n = (
            tf.cast(value, tf.float64) for value in (count, pivot, left, squares, self.count)
        )
        # With what rounding left over in the first pass: a feature of one value has variance 0.
        share = left / tf.maximum(count, 1.0)
        squares = tf.maximum(squares - left * share, 0.0)
        all_of_them = tf.maximum(n + count, 1.0)
        apart = pivot + share - mean
        together = (
            variance * n + squares + tf.square(apart) * (n * count / all_of_them)
        ) / all_of_them
        mean = tf.where(count > 0.0, mean + apart * (count / all_of_them), mean)
        variance = tf.where(count > 0.0, together, variance)
        self.count.assign_add(tf.cast(count, tf.int64))
        self.mean.assign(mean)
        self.variance.assign(variance)
        return mean, variance
