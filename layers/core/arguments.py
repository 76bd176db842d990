"""Checks of constructor arguments: what is stored is right, and what is wrong is said at once."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Sequence
from typing import Any

from layers.core.base import Layer
from layers.core.errors import LayerError, did_you_mean


def whole(layer: Layer, name: str, value: Any, least: int = 1) -> int:
    """``value`` as an int of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        raise LayerError(
            f"{layer.label}: {name} must be a whole number, at least {least}; got {value!r}"
        )
    return int(value)


def sizes(layer: Layer, name: str, value: Any, count: int) -> tuple[int, ...]:
    """``count`` positive ints, from one int for all or from a sequence of them."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        if len(value) != count:
            raise LayerError(
                f"{layer.label}: {name} must be one number or {count} of them; got {list(value)!r}"
            )
        return tuple(whole(layer, name, item) for item in value)
    return (whole(layer, name, value),) * count


def number(
    layer: Layer,
    name: str,
    value: Any,
    least: float = -math.inf,
    below: float = math.inf,
) -> float:
    """``value`` as a float in [``least``, ``below``)."""
    right = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not (right and least <= value < below):
        raise LayerError(
            f"{layer.label}: {name} must be a number in [{least:g}, {below:g}); got {value!r}"
        )
    return float(value)


def choice(layer: Layer, name: str, value: Any, valid: Iterable[str]) -> str:
    """``value``, one of the ``valid`` names."""
    names = tuple(valid)
    if value not in names:
        raise LayerError(
            f"{layer.label}: {name} must be {' or '.join(repr(n) for n in names)}; got {value!r}. "
            f"{did_you_mean(value, names)}"
        )
    return str(value)


def layer_in(layer: Layer, name: str, value: Any) -> Layer:
    """``value``, a ``Layer``."""
    if not isinstance(value, Layer):
        advice = "a function becomes a layer by Activation(function)"
        raise LayerError(f"{layer.label}: {name} must be a Layer, got {value!r}; {advice}")
    return value
