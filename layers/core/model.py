"""A layer as a whole model: built at once, gone through, given its precision."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from layers.core.base import Layer, adopt
from layers.core.specs import float_name, spec_of
from layers.core.tree import walk


def build(model: Layer, *inputs: Any, seed: int = 0) -> Any:
    """Make every variable of ``model`` for inputs like ``inputs``; returns the output's spec.

    Call it inside ``strategy.scope()``, before anything is traced. ``inputs`` are tensors or
    ``tf.TensorSpec``; sizes of the first dimension are ignored. Layers that are built already
    keep their values.
    """
    adopt(model, path="", seed=seed)
    for layer in layers_of(model):
        layer._note("_output_spec", None)
    specs = tf.nest.map_structure(spec_of, inputs)
    # One symbolic call builds each layer with the input that it will really see. A tf.function
    # would trace twice, since variables are made.
    with tf.__internal__.FuncGraph("build").as_default():
        xs = tf.nest.map_structure(_placeholder, specs)
        output = spec_of(model(*xs, training=False))
    paths = list(model.named_variables())
    for layer in layers_of(model):
        layer._choices.check(layer.label, layer.path, paths)
    return output


def _placeholder(spec: tf.TensorSpec) -> tf.Tensor:
    return tf.compat.v1.placeholder(spec.dtype, spec.shape)


def layers_of(root: Layer) -> Iterator[Layer]:
    """``root`` and every layer below it, depth first, each once."""
    yield root
    for _, item in walk(root):
        if isinstance(item, Layer):
            yield item


def set_precision(model: Layer, compute_dtype: str, param_dtype: str | None = None) -> None:
    """Let every layer that sets no dtype, nor has one above that does, use these.

    ``param_dtype=None`` leaves that of the weights. Weights that are there keep theirs.
    """
    before = model._given_dtypes
    model._given_dtypes = (float_name(compute_dtype), float_name(param_dtype) or before[1])
    for layer in layers_of(model):
        for _, child in layer.children():
            child._take_dtypes(layer)
