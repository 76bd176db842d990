"""Layers that drop values at random in training."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from layers.core.arguments import number
from layers.core.base import Layer


class Dropout(Layer):
    """In training each value is zero with probability ``rate``, else divided by ``1 - rate``.

    In evaluation it does nothing (Srivastava et al. 2014, scaled in training). The mask is drawn
    anew in every step, on every replica and for every path, and is the same when a step is
    repeated; a layer that is used twice in a model drops the same values both times.

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
        # In float32 whatever x is: bfloat16 has too few numbers in [0, 1) to hit the rate.
        drawn = tf.random.stateless_uniform(tf.shape(x), self.random_key(), alg="philox")
        return tf.where(drawn >= self.rate, x / (1.0 - self.rate), tf.zeros_like(x))
