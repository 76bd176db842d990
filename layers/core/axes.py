"""Axes that a layer is told to work along, and values that go with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from layers.core.base import Layer
from layers.core.errors import LayerError
from layers.core.specs import describe


def axes_tuple(axis: int | Sequence[int]) -> tuple[int, ...]:
    """One axis or several as a tuple; Hydra's own lists must not be kept."""
    return tuple(axis) if isinstance(axis, Sequence) else (axis,)


def axes_of(layer: Layer, axis: Sequence[int], x: Any, name: str = "axis") -> list[int]:
    """``axis`` of ``x`` counted from the first, in order; ``LayerError`` for the batch's.

    ``name``: of the argument, for the message.
    """
    rank = x.shape.rank
    axes = sorted({one % rank for one in axis if -rank <= one < rank}) if rank else []
    if len(axes) < len(axis) or 0 in axes:
        raise LayerError(
            f"{layer.label}: {name} must be different axes of its input, not the batch's (0); got "
            f"{name} {list(axis)} for {describe(x)}"
        )
    return axes


def beside(layer: Layer, values: Any, x: tf.Tensor, axes: Sequence[int]) -> tf.Tensor:
    """``values``, which have the sizes of ``axes``, in a shape that broadcasts beside ``x``."""
    sizes = values.shape.as_list()
    for axis, size in zip(axes, sizes, strict=True):
        if x.shape[axis] not in (size, None):  # a 1 would broadcast without a word
            raise LayerError(
                f"{layer.label}: was built for a size of {size} in axis {axis}, got {describe(x)}"
            )
    placed = dict(zip(axes, sizes, strict=True))
    shape = [placed.get(axis, 1) for axis in range(x.shape.rank)]
    return tf.reshape(tf.cast(values, x.dtype), shape)
