"""Augmentation that changes what the pixels say: brightness, contrast, saturation.

Images are ``[batch, height, width, channels]`` in whatever range preprocessing left them, which
the steps are told: darker is nearer to ``low``, and nothing leaves ``low`` to ``high``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from pipeline.data.augment import checks
from pipeline.data.draw import Draw

LUMA = (0.299, 0.587, 0.114)  # of red, green and blue: ITU-R BT.601, as Pillow's "L"


class Bounds:
    """The range of an image's values: black and white, or the ends of each channel.

    Args:
        low, high: one number for all channels, or one for each, as after a ``Standardize``.
    """

    def __init__(
        self, step: object, low: float | Sequence[float], high: float | Sequence[float]
    ) -> None:
        self.step = checks.kind(step)
        self.low, self.high = (_numbers(value) for value in (low, high))
        if 1 < len(self.low) != len(self.high) > 1:
            raise ValueError(
                f"{self.step} takes low and high as one number each or one a channel, but low has "
                f"{len(self.low)} and high {len(self.high)}."
            )
        if not np.all(np.less(self.low, self.high)):
            raise ValueError(f"{self.step} takes a low below high, not {low} and {high}.")

    def to_unit(self, x: tf.Tensor) -> tf.Tensor:
        """From low..high to 0..1, in float32."""
        checks.floating(self, x)
        for name, values in (("low", self.low), ("high", self.high)):
            if len(values) not in (1, x.shape[-1]):
                raise ValueError(
                    f"{self.step} has {len(values)} values for {name}, but its input has "
                    f"{x.shape[-1]} channels (shape {x.shape})."
                )
        span = np.subtract(self.high, self.low)
        return (tf.cast(x, tf.float32) - self.low) / span.astype(np.float32)

    def from_unit(self, unit: tf.Tensor) -> tf.Tensor:
        """From 0..1 to low..high."""
        return unit * np.subtract(self.high, self.low).astype(np.float32) + self.low

    def check(self, x: np.ndarray) -> None:
        """``ValueError`` unless the values of ``x`` ``[n, ..., channels]`` are in the range.

        Such images would be cut off at its ends, and a model would silently learn from that.
        """
        slack = 1e-3 * np.subtract(self.high, self.low)
        if np.all((x >= self.low - slack) & (x <= np.add(self.high, slack))):
            return
        axes = tuple(range(x.ndim - 1))
        low, high = (_shown(found) for found in (x.min(axes), x.max(axes)))
        raise ValueError(
            f"{self.step} takes values from {_shown(self.low)} to {_shown(self.high)}, but the "
            f"images have {low} to {high} after preprocessing: set its low and high to the ends of "
            "their range (one number, or one a channel)."
        )

    def __repr__(self) -> str:
        return f"low={_shown(self.low)}, high={_shown(self.high)}"


class Colour:
    """Each image brighter or darker, of more or less contrast, and more or less colourful.

    Each of them by a factor between ``1 - amount`` and ``1 + amount``, in this order: away from
    black, from the image's mean grey, and from its own grey picture.

    Args:
        brightness, contrast, saturation: amounts, from 0 to 1; saturation takes three channels.
        low, high: the ends of the range of values; one number each, or one a channel.
    """

    def __init__(
        self,
        brightness: float = 0.0,
        contrast: float = 0.0,
        saturation: float = 0.0,
        low: float | Sequence[float] = 0.0,
        high: float | Sequence[float] = 1.0,
    ) -> None:
        self.brightness = checks.number(self, "brightness", brightness, 0, 1)
        self.contrast = checks.number(self, "contrast", contrast, 0, 1)
        self.saturation = checks.number(self, "saturation", saturation, 0, 1)
        self.bounds = Bounds(self, low, high)

    def check(self, x: np.ndarray) -> None:
        """``ValueError`` unless the images ``[n, height, width, channels]`` are in the range."""
        self.bounds.check(x)

    def __call__(self, x: tf.Tensor, draw: Draw) -> tf.Tensor:
        _, _, channels = checks.images(self, x)
        if self.saturation and channels != 3:
            raise ValueError(
                f"Colour changes the saturation of images of 3 channels, but its input has "
                f"{channels} (shape {x.shape}): set saturation to 0."
            )
        unit = self.bounds.to_unit(x)

        def factor(name: str, amount: float) -> tf.Tensor:
            return draw.named(name).uniform((1, 1, 1), 1.0 - amount, 1.0 + amount)

        if self.brightness:
            unit = clipped(unit * factor("brightness", self.brightness))
        if self.contrast:
            mean = mean_grey(unit)
            unit = clipped(mean + factor("contrast", self.contrast) * (unit - mean))
        if self.saturation:
            plain = grey(unit)
            unit = clipped(plain + factor("saturation", self.saturation) * (unit - plain))
        return tf.cast(self.bounds.from_unit(unit), x.dtype)

    def __repr__(self) -> str:
        amounts = (
            f"brightness={self.brightness}, contrast={self.contrast}, saturation={self.saturation}"
        )
        return f"Colour({amounts}, {self.bounds})"


def clipped(unit: tf.Tensor) -> tf.Tensor:
    """Nothing below 0 or above 1."""
    return tf.clip_by_value(unit, 0.0, 1.0)


def grey(unit: tf.Tensor) -> tf.Tensor:
    """``[batch, height, width, 1]``: the luma of three channels, the mean of any other number."""
    if unit.shape[-1] == 3:
        return tf.reduce_sum(unit * tf.constant(LUMA), -1, keepdims=True)
    return tf.reduce_mean(unit, -1, keepdims=True)


def mean_grey(unit: tf.Tensor) -> tf.Tensor:
    """``[batch, 1, 1, 1]``: the mean over each image's grey picture."""
    return tf.reduce_mean(grey(unit), [1, 2], keepdims=True)


def _numbers(value: float | Sequence[float]) -> np.ndarray:
    return np.atleast_1d(np.array(value, np.float32))


def _shown(values: np.ndarray) -> str:
    rounded = [float(f"{value:.4g}") for value in values]
    return str(rounded[0] if len(rounded) == 1 else rounded)
