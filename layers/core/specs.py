"""Shapes and dtypes of what goes through a layer, for building and for messages."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


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
