"""Learning-rate schedules: a factor by which the optimizer's ``learning_rate`` is multiplied.

A schedule is configured in periods (``5 epochs``, ``10 percent``) and turned into a function of
the step by ``factor(steps_per_epoch, total_steps)``. Each takes a linear warm-up.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import tensorflow as tf

from pipeline.durations import Duration

Factor = Callable[[tf.Tensor], tf.Tensor]


class Schedule:
    """Base: the warm-up, then ``after`` of the steps that follow it.

    Args:
        warmup: period over which the factor rises linearly; its last step has the full rate.
    """

    def __init__(self, warmup: str | None = None) -> None:
        self.warmup = warmup

    def factor(self, steps_per_epoch: int, total_steps: int) -> Factor:
        """``f(step)``: float32 factor for the update made at ``step``, counted from 0."""

        def steps(period: str) -> int:
            return Duration.parse(period).steps(steps_per_epoch, total_steps)

        warmup = steps(self.warmup) if self.warmup else 0
        after = self.after(max(1, total_steps - warmup), steps)

        def at(step: tf.Tensor) -> tf.Tensor:
            step = tf.cast(step, tf.float32)
            value = after(tf.maximum(step - warmup, 0.0))
            if warmup:
                value = tf.where(step < warmup, (step + 1.0) / warmup, value)
            return tf.cast(value, tf.float32)

        return at

    def after(self, total: int, steps: Callable[[str], int]) -> Factor:
        """The factor as a function of the steps since the warm-up, of which there are ``total``."""
        raise TypeError(f"{type(self).__name__} must define after(total, steps)")


class Constant(Schedule):
    """1 throughout."""

    def after(self, total: int, steps: Callable[[str], int]) -> Factor:
        return lambda step: tf.ones_like(step)


class Cosine(Schedule):
    """Half a cosine from 1 to ``final`` (Loshchilov and Hutter 2017, without restarts)."""

    def __init__(self, warmup: str | None = None, final: float = 0.0) -> None:
        super().__init__(warmup)
        self.final = final

    def after(self, total: int, steps: Callable[[str], int]) -> Factor:
        def at(step: tf.Tensor) -> tf.Tensor:
            wave = 0.5 * (1.0 + tf.cos(math.pi * tf.minimum(step / total, 1.0)))
            return self.final + (1.0 - self.final) * wave

        return at


class Linear(Schedule):
    """A straight line from 1 to ``final``."""

    def __init__(self, warmup: str | None = None, final: float = 0.0) -> None:
        super().__init__(warmup)
        self.final = final

    def after(self, total: int, steps: Callable[[str], int]) -> Factor:
        return lambda step: 1.0 + (self.final - 1.0) * tf.minimum(step / total, 1.0)


class Exponential(Schedule):
    """Multiplied by ``decay`` over each period ``every``, smoothly."""

    def __init__(self, decay: float, every: str, warmup: str | None = None) -> None:
        super().__init__(warmup)
        self.decay = decay
        self.every = every

    def after(self, total: int, steps: Callable[[str], int]) -> Factor:
        every = steps(self.every)
        return lambda step: tf.pow(self.decay, step / every)


class Piecewise(Schedule):
    """``factors[i]`` from boundary ``i - 1`` up to boundary ``i``; one factor more than boundaries.

    Boundaries are counted from the end of the warm-up.
    """

    def __init__(
        self, boundaries: Sequence[str], factors: Sequence[float], warmup: str | None = None
    ) -> None:
        super().__init__(warmup)
        if len(factors) != len(boundaries) + 1:
            raise ValueError(
                f"Piecewise: {len(boundaries)} boundaries need {len(boundaries) + 1} factors, "
                f"got {len(factors)}"
            )
        self.boundaries = list(boundaries)
        self.factors = [float(value) for value in factors]

    def after(self, total: int, steps: Callable[[str], int]) -> Factor:
        boundaries = [steps(period) for period in self.boundaries]

        def at(step: tf.Tensor) -> tf.Tensor:
            value = tf.fill(tf.shape(step), self.factors[0])
            for boundary, factor in zip(boundaries, self.factors[1:], strict=True):
                value = tf.where(step >= boundary, factor, value)
            return value

        return at
