"""Arithmetic on numbers, on the device, in float32."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

import layers
from layers.core.errors import LayerError
from layers.core.specs import describe
from pipeline.data.preprocess.step import Batches, Inputs, Step, require_numbers
from pipeline.errors import DataError


class Scale(Step):
    """``x * factor + offset`` in float32; x ``[b, ...]`` of any numeric dtype."""

    def __init__(self, factor: float, offset: float = 0.0) -> None:
        super().__init__()
        self.factor = float(factor)
        self.offset = float(offset)

    def __call__(self, x: Inputs) -> tf.Tensor:
        return tf.cast(require_numbers(self, x), tf.float32) * self.factor + self.offset

    def describe(self) -> dict[str, Any]:
        return {"factor": self.factor, "offset": self.offset}

    def __repr__(self) -> str:
        return f"Scale(factor={self.factor}, offset={self.offset})"


class Standardize(Step):
    """``(x - mean) / std`` for each channel, in float32; x ``[b, ..., channels]``.

    Without numbers it takes the mean and the deviation of each channel over the training split (of
    all values together where an example is a single number). They are variables, so checkpoints and
    exported models have them. A channel that never varies gives 0.

    Args:
        mean: one number a channel, in the units of what comes in (after a ``Scale``: scaled).
        std: likewise; above 0.

    Raises:
        ValueError: one is given without the other, their lengths differ, or a ``std`` is not above
            0.
    """

    def __init__(
        self, mean: Sequence[float] | None = None, std: Sequence[float] | None = None
    ) -> None:
        super().__init__()
        if (mean is None) != (std is None):
            given, lacking = ("mean", "std") if std is None else ("std", "mean")
            raise ValueError(
                f"Standardize has a {given} but no {lacking}. Give both, or neither: then it takes "
                "them from the training split."
            )
        self.layer: layers.Standardize | None = None
        self.mean = self.std = None
        if mean is None or std is None:
            return
        # Arrays: tf.Module would wrap lists.
        self.mean, self.std = np.asarray(mean, np.float64), np.asarray(std, np.float64)
        if len(self.mean) != len(self.std):
            raise ValueError(
                f"Standardize takes one mean and one std a channel, but mean has {len(self.mean)} "
                f"values and std {len(self.std)}."
            )
        if not (self.std > 0).all():
            raise ValueError(f"Standardize takes a std above 0 for each channel, not {list(std)}.")

    def build(self, x: Any) -> None:
        if self.mean is None:
            x = require_numbers(self, x)
            self.layer = layers.Standardize(axis=None if x.shape.rank == 1 else -1)
            self._said(lambda: layers.build(self.layer, x))

    def fit(self, batches: Batches) -> None:
        if self.layer is not None:
            self._said(lambda: layers.adapt(self.layer, batches))

    def __call__(self, x: Inputs) -> tf.Tensor:
        x = require_numbers(self, x)
        if self.layer is not None:
            return self.layer(x)
        if self.mean is None:
            raise DataError(f"{self.label}: it was not fitted to the training split yet.")
        if x.shape[-1] not in (None, len(self.mean)):
            raise DataError(
                f"{self.label}: Standardize has {len(self.mean)} channels, but its input is "
                f"{describe(x)}. Give one mean and one std a channel, or none."
            )
        return (tf.cast(x, tf.float32) - np.float32(self.mean)) / np.float32(self.std)

    def describe(self) -> dict[str, Any]:
        if self.layer is not None:
            mean, std = self.layer.mean.numpy(), np.sqrt(self.layer.variance.numpy())
            return {"mean": mean.tolist(), "std": std.tolist()}
        if self.mean is None or self.std is None:
            return {}
        return {"mean": self.mean.tolist(), "std": self.std.tolist()}

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value}" for name, value in self.describe().items())
        return f"Standardize({values if self.layer is None else ''})"

    def _said(self, learn: Any) -> None:
        """What the layer complains of, under this step's name."""
        try:
            learn()
        except LayerError as error:
            raise DataError(f"{self.label}: {str(error).partition(': ')[2]}") from error
