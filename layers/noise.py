"""Layers that disturb what they are given at random in training, and pass it on in evaluation.

What is drawn is new in every step, on every replica, for every path and for each use of a layer,
and is the same when a step is repeated.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from layers.core.arguments import number
from layers.core.base import Layer


class Dropout(Layer):
    """In training each value is zero with probability ``rate``, else divided by ``1 - rate``.

    ``[batch, ...] -> the same``. In evaluation it does nothing (Srivastava et al. 2014, scaled in
    training).

    Args:
        rate: the share of values that become zero, in [0, 1).
    """

    def __init__(self, rate: float, **options: Any) -> None:
        super().__init__(**options)
        self.rate = number(self, "rate", rate, least=0.0, below=1.0)

    def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        x = self.cast(x)
        if not training or self.rate == 0.0:
            return x
        lowest = min(round(self.rate * 2**32), 2**32 - 1) - 2**31  # of the bits that stay
        stays = _bits(self._drawn(x), self.random_key()) >= lowest
        return tf.where(stays, x / (1.0 - self.rate), tf.zeros_like(x))

    def _drawn(self, x: tf.Tensor) -> tf.Tensor:
        """The shape of what is drawn; values that share a number are dropped together."""
        return tf.shape(x)


class SpatialDropout(Dropout):
    """In training each channel of an example is zero with probability ``rate``, in all its places.

    ``[batch, places ..., channels]``, places of one, two or three dimensions; channels that stay
    are divided by ``1 - rate``. Neighbouring places tell nearly the same, so that dropping single
    values would drop little (Tompson et al. 2015).

    Args:
        rate: the share of channels that become zero, in [0, 1).
    """

    def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        self.require_axes(x, 3, "[batch, places ..., channels]")
        return super().call(x, training)

    def _drawn(self, x: tf.Tensor) -> tf.Tensor:
        shape = tf.shape(x)
        return tf.concat([shape[:1], [1] * (x.shape.rank - 2), shape[-1:]], 0)


class DropPath(Dropout):
    """In training each example is zero with probability ``rate``, else divided by ``1 - rate``.

    At the end of a residual's block it is stochastic depth (Huang et al. 2016): the block is
    skipped for the examples that it drops.

    Args:
        rate: the share of examples that become zero, in [0, 1).
    """

    def _drawn(self, x: tf.Tensor) -> tf.Tensor:
        self.require_axes(x, 1, "[batch, ...]")
        return tf.concat([tf.shape(x)[:1], [1] * (x.shape.rank - 1)], 0)


class GaussianNoise(Layer):
    """In training adds to each value a normal number with mean 0: ``[batch, ...] -> the same``.

    Args:
        deviation: of what is added, in the units of the input.
    """

    def __init__(self, deviation: float, **options: Any) -> None:
        super().__init__(**options)
        self.deviation = number(self, "deviation", deviation, least=0.0)

    def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        x = self.cast(x)
        if not training or self.deviation == 0.0:
            return x
        middle = tf.cast(_bits(tf.shape(x), self.random_key()) // 256, tf.float32) + 0.5
        drawn = tf.math.ndtri(middle / 2**24 + 0.5)  # of one of 2^24 places in (0, 1)
        return x + self.cast(self.deviation * drawn)


def _bits(shape: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
    """Random int32, any with the same probability: the same whatever compiles it, which floats that
    TensorFlow draws are not."""
    return tf.random.stateless_uniform(
        shape, key, minval=None, maxval=None, dtype=tf.int32, alg="philox"
    )
