"""Which layers and variables of a model play which part in training."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import tensorflow as tf

from layers.core.base import Layer
from layers.core.model import layers_of
from layers.core.tree import join


def trained_variables(model: Layer) -> dict[str, tf.Variable]:
    """The weights, by path, that training changes: all that are trainable and not frozen."""
    frozen = {
        id(variable)
        for layer in layers_of(model)
        for name, variable in layer.own_variables()
        if layer.frozen(name)
    }
    found = model.named_variables()
    return {path: v for path, v in found.items() if v.trainable and id(v) not in frozen}


def outer_variables(model: Layer) -> dict[str, tf.Variable]:
    """Those of the trained variables that the model's optimizer may see and update.

    Left out is all that is in a layer that trains itself, also where it is used elsewhere too.
    """
    inner = {
        id(variable)
        for layer in layers_of(model)
        if layer.trains_itself
        for variable in layer.named_variables().values()
    }
    return {path: v for path, v in trained_variables(model).items() if id(v) not in inner}


Penalty = Callable[[], tf.Tensor]


def penalty_of(model: Layer, variables: Mapping[str, tf.Variable]) -> Penalty | None:
    """What the regularizers of ``model`` add to the loss for ``variables``, as a function.

    Each weight counts once, also where it is shared; the result is a float32 scalar. ``None``
    where no regularizer means any of them.
    """
    among = {id(variable) for variable in variables.values()}
    terms: list[tuple[Callable[[tf.Tensor], tf.Tensor], tf.Variable]] = []
    for layer in layers_of(model):
        for name, variable in layer.own_variables():
            if id(variable) in among:
                among.remove(id(variable))
                terms += [(regularizer, variable) for regularizer in layer.regularizers_of(name)]
    if not terms:
        return None

    def penalty() -> tf.Tensor:
        return tf.add_n(
            [tf.cast(regularizer(tf.convert_to_tensor(v)), tf.float32) for regularizer, v in terms]
        )

    return penalty


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
