"""Augmentation of sequences and of anything: shifts in time, tokens that are hidden, noise."""

from __future__ import annotations

import tensorflow as tf

from pipeline.data.augment import checks
from pipeline.data.augment.geometry import chosen
from pipeline.data.draw import Draw


class TimeShift:
    """Each series ``[batch, time, ...]`` moved by up to ``most`` steps, earlier or later.

    What comes in at an end repeats the value that was there, so that a level is not broken.

    Args:
        most: steps in time, fewer than the series has.
    """

    def __init__(self, most: int) -> None:
        self.most = checks.whole(self, "most", most)

    def __call__(self, x: tf.Tensor, draw: Draw) -> tf.Tensor:
        if x.shape.rank is None or x.shape.rank < 2 or x.shape[1] is None:
            raise ValueError(
                "TimeShift takes series [batch, time, ...] of one length, but its input has shape "
                f"{x.shape}."
            )
        if self.most >= x.shape[1]:
            raise ValueError(
                f"TimeShift moves series of {x.shape[1]} steps by at most {x.shape[1] - 1}, but "
                f"most is {self.most}."
            )
        shift = draw.integers(2 * self.most + 1, (1,)) - self.most
        times = tf.clip_by_value(tf.range(x.shape[1]) + shift, 0, x.shape[1] - 1)
        return tf.gather(x, times, batch_dims=1)

    def __repr__(self) -> str:
        return f"TimeShift(most={self.most})"


class TokenDropout:
    """Each token replaced by ``token`` with probability ``rate``; padding, 0, stays.

    ``[batch, time]`` integers.

    Args:
        rate: from 0 to 1.
        token: what stands for a token that is hidden, such as the vocabulary's unknown one.
    """

    def __init__(self, rate: float, token: int) -> None:
        self.rate = checks.number(self, "rate", rate, 0, 1)
        self.token = checks.whole(self, "token", token)

    def __call__(self, x: tf.Tensor, draw: Draw) -> tf.Tensor:
        if x.shape.rank != 2 or not x.dtype.is_integer or x.shape[1] is None:
            raise ValueError(
                "TokenDropout takes tokens, integers [batch, time] of one length, but its input is "
                f"{x.dtype.name} of shape {x.shape}."
            )
        hidden = (draw.uniform((x.shape[1],)) < self.rate) & (x != 0)
        return chosen(hidden, tf.fill(tf.shape(x), tf.cast(self.token, x.dtype)), x)

    def __repr__(self) -> str:
        return f"TokenDropout(rate={self.rate}, token={self.token})"


class Noise:
    """Adds to each value a normal number with mean 0: ``[batch, ...]``, floating point.

    Args:
        deviation: of what is added, in the units of the inputs after preprocessing.
    """

    def __init__(self, deviation: float) -> None:
        self.deviation = checks.number(self, "deviation", deviation)

    def __call__(self, x: tf.Tensor, draw: Draw) -> tf.Tensor:
        checks.floating(self, x)
        if None in x.shape[1:]:
            raise ValueError(
                f"Noise takes examples of one shape, but its input has shape {x.shape}."
            )
        return x + tf.cast(self.deviation * draw.normal(x.shape[1:]), x.dtype)

    def __repr__(self) -> str:
        return f"Noise(deviation={self.deviation})"
