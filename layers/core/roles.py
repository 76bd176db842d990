"""Which layers and variables of a model play which part in training."""

from __future__ import annotations

import tensorflow as tf

from layers.core.base import Layer, layers_of
from layers.core.tree import join


def outer_variables(model: Layer) -> dict[str, tf.Variable]:
    """The trainable variables, by path, that the model's optimizer may see and update.

    Left out is all that is in a layer that trains itself, also where it is used elsewhere too.
    """
    inner = {
        id(variable)
        for layer in layers_of(model)
        if layer.trains_itself
        for variable in layer.named_variables().values()
    }
    found = model.named_variables()
    return {path: v for path, v in found.items() if v.trainable and id(v) not in inner}


def published_metrics(model: Layer) -> tuple[str, ...]:
    """What the layers of the model publish in training, as ``path/name``."""
    return tuple(join(layer.path, name) for layer in layers_of(model) for name in layer.metrics)


def carrying(model: Layer) -> list[Layer]:
    """The layers that carry something from one batch to the next and can forget it."""
    return [layer for layer in layers_of(model) if type(layer).reset is not Layer.reset]


def reset(model: Layer) -> None:
    """Let every layer of the model forget what it carries from one batch to the next."""
    for layer in carrying(model):
        layer.reset()
