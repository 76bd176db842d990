"""From stored values to what a model takes: deterministic, on the device, on a whole batch.

The same chain runs in the train step, in evaluation and in the exported model, so a served model
takes data as it is stored. These are the ``_target_`` nodes under ``dataset.preprocess``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import tensorflow as tf

Preprocess = Callable[[tf.Tensor], tf.Tensor]


class Scale:
    """``x * factor + offset`` in float32; x ``[batch, ...]`` of any numeric dtype."""

    def __init__(self, factor: float, offset: float = 0.0) -> None:
        self.factor = float(factor)
        self.offset = float(offset)

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        return tf.cast(x, tf.float32) * self.factor + self.offset

    def __repr__(self) -> str:
        return f"Scale(factor={self.factor}, offset={self.offset})"


class Standardize:
    """``(x - mean) / std`` for each channel, in float32; x ``[batch, ..., channels]``.

    Args:
        mean: one number a channel, in the units of what comes in (after a ``Scale``: scaled).
        std: likewise; above 0.

    Raises:
        ValueError: the lengths differ, or a ``std`` is not above 0.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        self.mean = [float(value) for value in mean]
        self.std = [float(value) for value in std]
        if len(self.mean) != len(self.std):
            raise ValueError(
                f"Standardize takes one mean and one std a channel, but mean has {len(self.mean)} "
                f"values and std {len(self.std)}."
            )
        if not all(value > 0 for value in self.std):
            raise ValueError(f"Standardize takes a std above 0 for each channel, not {self.std}.")

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        if x.shape[-1] not in (None, len(self.mean)):
            raise ValueError(
                f"Standardize has {len(self.mean)} channels, but its input has {x.shape[-1]} "
                f"(shape {x.shape})."
            )
        return (tf.cast(x, tf.float32) - self.mean) / self.std

    def __repr__(self) -> str:
        return f"Standardize(mean={self.mean}, std={self.std})"


def chain(preprocess: Mapping[str, Preprocess] | None) -> Preprocess:
    """One callable that applies all, in the order of the mapping; the result is float32 if the
    steps leave integers, so that an empty chain does for a model that takes numbers as they are.
    """
    steps = dict(preprocess or {})

    def apply(x: tf.Tensor) -> tf.Tensor:
        for step in steps.values():
            x = step(x)
        return x if x.dtype.is_floating else tf.cast(x, tf.float32)

    return apply
