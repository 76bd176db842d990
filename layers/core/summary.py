"""A table of a model, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from layers.core.base import Layer
from layers.core.cost import multiply_adds
from layers.core.errors import LayerError
from layers.core.model import layers_of
from layers.core.roles import trained_variables


@dataclass(frozen=True)
class Row:
    """One layer. Rows do not count the layers below them, so a column sums to the model's.

    ``output_shape`` has ``None`` for the batch; a layer with several outputs has a tuple of them.
    ``parameters`` counts the values in all variables, ``trainable`` those that training changes.
    What an optimizer remembers that a layer holds for itself counts among its ``parameters``.
    ``dtype`` is what the layer computes in. ``multiply_adds``: of one example in a forward pass,
    see ``layers.core.cost``; ``None`` where a size is not known.
    """

    path: str
    type: str
    output_shape: tuple[Any, ...]
    parameters: int
    trainable: int
    dtype: str
    multiply_adds: int | None


def summarize(model: Layer) -> list[Row]:
    """A row for each layer of a built model, depth first; what is shared counts once."""
    for layer in layers_of(model):
        if layer._output_spec is None:
            raise LayerError(f"{layer.label}: is not built; call layers.build(model, spec) first")
    trained = {id(variable) for variable in trained_variables(model).values()}
    costs = multiply_adds(model, model._input_specs)
    counted: set[int] = set()
    rows = []
    for layer in layers_of(model):
        own = [v for _, v in layer.own_variables() if id(v) not in counted]
        counted.update(id(v) for v in own)
        rows.append(
            Row(
                path=layer.path,
                type=type(layer).__name__,
                output_shape=_shape(layer._output_spec),
                parameters=sum(v.shape.num_elements() for v in own),
                trainable=sum(v.shape.num_elements() for v in own if id(v) in trained),
                dtype=layer.compute_dtype,
                multiply_adds=costs[id(layer)],
            )
        )
    return rows


def _shape(spec: Any) -> tuple[Any, ...]:
    if isinstance(spec, tf.TensorSpec):
        return tuple(spec.shape.as_list()) if spec.shape.rank is not None else (None,)
    return tuple(_shape(part) for part in tf.nest.flatten(spec))
