"""A table of a model, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from layers.core.base import Layer, layers_of
from layers.core.errors import LayerError
from layers.core.tree import walk


@dataclass(frozen=True)
class Row:
    """One layer. Rows do not count the layers below them, so a column sums to the model's.

    ``output_shape`` has ``None`` for the batch; a layer with several outputs has a tuple of them.
    ``parameters`` counts the values in all variables, ``trainable`` those an optimizer changes.
    What an optimizer remembers that a layer holds for itself counts among its ``parameters``.
    ``dtype`` is what the layer computes in.
    """

    path: str
    type: str
    output_shape: tuple[Any, ...]
    parameters: int
    trainable: int
    dtype: str


def summarize(model: Layer) -> list[Row]:
    """A row for each layer of a built model, depth first; what is shared counts once."""
    rows = []
    counted: set[int] = set()
    for layer in layers_of(model):
        if layer._output_spec is None:
            raise LayerError(f"{layer.label}: is not built; call layers.build(model, spec) first")
        own = [v for v in _own_variables(layer) if id(v) not in counted]
        counted.update(id(v) for v in own)
        rows.append(
            Row(
                path=layer.path,
                type=type(layer).__name__,
                output_shape=_shape(layer._output_spec),
                parameters=sum(v.shape.num_elements() for v in own),
                trainable=sum(v.shape.num_elements() for v in own if v.trainable),
                dtype=layer.compute_dtype,
            )
        )
    return rows


def _own_variables(layer: Layer) -> list[tf.Variable]:
    held = walk(layer, into=lambda module: not isinstance(module, Layer))
    # An optimizer inside a layer holds the variables of the layers below too.
    below = {id(v) for _, child in layer.children() for v in child.named_variables().values()}
    unique = {id(item): item for _, item in held if isinstance(item, tf.Variable)}
    return [variable for key, variable in unique.items() if key not in below]


def _shape(spec: Any) -> tuple[Any, ...]:
    if isinstance(spec, tf.TensorSpec):
        return tuple(spec.shape.as_list()) if spec.shape.rank is not None else (None,)
    return tuple(_shape(part) for part in tf.nest.flatten(spec))
