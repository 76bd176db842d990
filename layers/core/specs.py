"""Shapes and dtypes of what goes through a layer, for building and for messages."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from layers.core.errors import LayerError, did_you_mean


def spec_of(x: Any) -> Any:
    """``tf.TensorSpec`` of a tensor, a spec or a nest of them, the first dimension left open."""

    def one(tensor: Any) -> tf.TensorSpec | None:
        if tensor is None:
            return None
        if not isinstance(tensor, tf.TensorSpec):
            tensor = tf.convert_to_tensor(tensor)
        shape = tensor.shape
        if shape.rank is not None and shape.rank > 0:
            shape = tf.TensorShape([None]).concatenate(shape[1:])
        return tf.TensorSpec(shape, tensor.dtype)

    return tf.nest.map_structure(one, x)


def describe(x: Any) -> str:
    """Shape and dtype as messages show them: ``[None, 28, 28, 1] uint8``."""

    def one(tensor: Any) -> str:
        if not hasattr(tensor, "shape") or not hasattr(tensor, "dtype"):
            return repr(tensor)
        shape = tf.TensorShape(tensor.shape)
        sizes = "unknown rank" if shape.rank is None else str(shape.as_list())
        return f"{sizes} {tf.as_dtype(tensor.dtype).name}"

    return ", ".join(one(leaf) for leaf in tf.nest.flatten(x))


def float_name(dtype: str | None) -> str | None:
    """The name of a floating dtype, or ``None``; ``LayerError`` for anything else."""
    if dtype is None:
        return None
    try:
        known = tf.as_dtype(dtype)
    except TypeError:
        known = None
    if known is None or not known.is_floating:
        names = ("bfloat16", "float16", "float32", "float64")
        raise LayerError(f"unknown floating dtype {dtype!r}. {did_you_mean(dtype, names)}")
    return known.name
