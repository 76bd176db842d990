"""What augmentation steps may be given: numbers in a range, images, floating point."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf


def number(
    step: object, name: str, value: Any, least: float = 0.0, most: float = math.inf
) -> float:
    """``value`` as a float in [least, most]; else ``ValueError``."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = math.nan
    if not least <= found <= most or math.isinf(found):
        limits = f"from {least:g} to {most:g}" if math.isfinite(most) else f"of at least {least:g}"
        raise ValueError(f"{kind(step)} takes {name} {limits}, not {value!r}.")
    return found


def whole(step: object, name: str, value: Any, least: int = 0) -> int:
    """``value`` as an int, at least ``least``; else ``ValueError``."""
    found = number(step, name, value, least)
    if found != int(found):
        raise ValueError(f"{kind(step)} takes {name} as a whole number, not {value!r}.")
    return int(found)


def above_zero(step: object, name: str, value: Any) -> float:
    """``value`` as a float above 0; else ``ValueError``."""
    found = number(step, name, value)
    if found == 0.0:
        raise ValueError(f"{kind(step)} takes {name} above 0, not {value!r}.")
    return found


def images(step: object, x: tf.Tensor) -> tuple[int, int, int]:
    """Height, width and channels of images ``[batch, height, width, channels]``.

    Raises:
        ValueError: ``x`` has other axes, or sizes that are not known.
    """
    if x.shape.rank != 4:
        raise ValueError(
            f"{kind(step)} takes images [batch, height, width, channels], but its input has shape "
            f"{x.shape}."
        )
    height, width, channels = x.shape[1:]
    if None in (height, width, channels):
        raise ValueError(
            f"{kind(step)} takes images of one size, but its input has shape {x.shape}: put a step "
            "that resizes them under dataset.preprocess."
        )
    return height, width, channels


def floating(step: object, x: tf.Tensor) -> None:
    """``ValueError`` unless ``x`` holds floating point numbers."""
    if not x.dtype.is_floating:
        raise ValueError(
            f"{kind(step)} computes in floating point, but its input is {x.dtype.name}: put a "
            "Scale before it, under dataset.preprocess."
        )


def kind(step: object) -> str:
    """What messages call a step."""
    return type(step).__name__
