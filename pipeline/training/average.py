"""A moving average of the weights, kept beside them and used for evaluation and export."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import tensorflow as tf

from pipeline.training.optimizers import wide_dtype


class WeightAverage(tf.Module):
    """``average = d * average + (1 - d) * weight`` with ``d = min(decay, (1 + t) / (10 + t))``.

    The bound lets the average leave the initial values quickly (as in
    ``tf.train.ExponentialMovingAverage``). Build it inside ``strategy.scope()``.
    """

    def __init__(self, decay: float, variables: Mapping[str, tf.Variable]) -> None:
        super().__init__()
        self.decay = decay
        self.weights = dict(variables)
        self.averages = {
            path: tf.Variable(
                tf.cast(v.read_value(), wide_dtype(v)), trainable=False, name="average"
            )
            for path, v in variables.items()
        }

    def update(self, step: tf.Tensor) -> None:
        """Take in the weights after ``step``, in replica context."""
        t = tf.cast(step, tf.float32)
        decay = tf.minimum(self.decay, (1.0 + t) / (10.0 + t))
        for path, average in self.averages.items():
            keep = tf.cast(decay, average.dtype)
            weight = tf.cast(self.weights[path], average.dtype)
            average.assign_sub((1 - keep) * (average - weight))

    def restart(self) -> None:
        """Begin again with the weights as they are."""
        for path, average in self.averages.items():
            average.assign(tf.cast(self.weights[path].read_value(), average.dtype))

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The model computes with the averages; the weights are put back afterwards."""
        kept = {path: v.read_value() for path, v in self.weights.items()}
        for path, v in self.weights.items():
            v.assign(tf.cast(self.averages[path].read_value(), v.dtype))
        try:
            yield
        finally:
            for path, v in self.weights.items():
                v.assign(kept[path])
