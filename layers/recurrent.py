"""Layers that take cells through a sequence: one way, or both ways."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from layers.cells import Cell, cell_in
from layers.core.arguments import choice
from layers.core.base import Layer
from layers.core.errors import LayerError
from layers.core.specs import describe

# Sequences up to this length become one piece of graph, which trains faster than a loop; longer
# ones would take long to trace and compile.
UNROLL = 16


class Recurrent(Layer):
    """Takes a cell through time: ``[batch, time, inputs] -> [batch, units]``, the last output.

    Each sequence begins with the cell's initial state. A mask ``[batch, time]``, ``layer(x,
    mask=…)``, is true at the steps that count; at the others the state stays as it was and the
    output is repeated (zero before the first step that counts).

    Args:
        cell: an ``RNNCell``, ``GRUCell``, ``LSTMCell`` or a ``Cell`` of your own.
        return_sequences: give every output, ``[batch, time, units]``, instead of the last.
        reverse: go from the last step to the first. Outputs stand at the step they belong to, so
            the "last" one is that of step 0. (Keras gives them in the order they were made.)
    """

    def __init__(
        self,
        cell: Layer,
        return_sequences: bool = False,
        reverse: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.cell = cell_in(self, "cell", cell)
        self.return_sequences = return_sequences
        self.reverse = reverse

    def build(self, x: tf.TensorSpec) -> None:
        build_cell(self, self.cell, x)

    def call(self, x: tf.Tensor, training: bool, mask: tf.Tensor | None = None) -> tf.Tensor:
        self.require_rank(x, 3, "[batch, time, inputs]")
        state = self.cell.initial_state(tf.shape(x)[0])
        outputs, last, _ = scan(self.cell, x, state, training, mask, self.reverse)
        return outputs if self.return_sequences else last


class Bidirectional(Layer):
    """A cell that goes forward and one that goes backward (Schuster and Paliwal 1997), joined.

    ``[batch, time, inputs] -> [batch, units]``: what each gives last, the backward one at step 0.
    Sequences begin and a mask counts as in ``Recurrent``: at a step that does not count each
    direction repeats its output. (Keras gives zeros there.)

    Args:
        forward, backward: an ``RNNCell``, ``GRUCell``, ``LSTMCell`` or a ``Cell`` of your own.
        join: ``concat`` puts the forward output before the backward one, ``add`` and ``mean``
            need cells with the same number of units.
        return_sequences: give every output, ``[batch, time, units]``, both of the same step.
    """

    def __init__(
        self,
        forward: Layer,
        backward: Layer,
        join: str = "concat",
        return_sequences: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.forward = cell_in(self, "forward", forward)
        self.backward = cell_in(self, "backward", backward)
        self.join = choice(self, "join", join, ("concat", "add", "mean"))
        self.return_sequences = return_sequences
        if self.join != "concat" and self.forward.units != self.backward.units:
            raise LayerError(
                f"{self.label}: join={self.join!r} needs cells with the same number of units, got "
                f"{self.forward.units} forward and {self.backward.units} backward; join='concat' "
                "takes any"
            )

    def build(self, x: tf.TensorSpec) -> None:
        build_cell(self, self.forward, x)
        build_cell(self, self.backward, x)

    def call(self, x: tf.Tensor, training: bool, mask: tf.Tensor | None = None) -> tf.Tensor:
        self.require_rank(x, 3, "[batch, time, inputs]")
        pair = []
        for cell, reverse in ((self.forward, False), (self.backward, True)):
            state = cell.initial_state(tf.shape(x)[0])
            outputs, last, _ = scan(cell, x, state, training, mask, reverse)
            pair.append(self.cast(outputs if self.return_sequences else last))
        if self.join == "concat":
            return tf.concat(pair, -1)
        total = pair[0] + pair[1]
        return total / 2.0 if self.join == "mean" else total


def build_cell(layer: Layer, cell: Cell, x: tf.TensorSpec) -> None:
    """Build the cell of ``layer`` for one step of ``x [batch, time, inputs]``."""
    layer.require_rank(x, 3, "[batch, time, inputs]")
    layer.require_known(x)
    if not cell._built:  # a cell may be shared
        cell._build_for(tf.TensorSpec([None, x.shape[-1]], x.dtype))


def scan(
    cell: Cell,
    x: tf.Tensor,
    state: Any,
    training: bool,
    mask: tf.Tensor | None = None,
    reverse: bool = False,
) -> tuple[tf.Tensor, tf.Tensor, Any]:
    """Take a built ``cell`` through ``x [batch, time, inputs]`` from ``state``.

    Returns all outputs ``[batch, time, units]``, the one made last ``[batch, units]``, and the
    state after it. Where the number of steps is not known when traced, it must not be 0.
    """
    if mask is not None and mask.shape.rank != 2:
        raise LayerError(f"{cell.label}: expects a mask [batch, time], got {describe(mask)}")
    # Time first, where one step is one piece of memory.
    steps = tf.transpose(cell.project(x), [1, 0, 2])
    counts = None if mask is None else tf.transpose(tf.cast(mask, tf.bool))[..., None]
    length = x.shape[1] if x.shape[1] is not None else tf.shape(x)[1]
    y = tf.zeros([tf.shape(x)[0], cell.units], cell.compute_dtype)
    state = tf.nest.map_structure(cell.cast, state)

    def advance(t: Any, y: tf.Tensor, state: Any) -> tuple[tf.Tensor, Any]:
        new_y, new_state = cell(steps[t], state, training=training, projected=True)
        if counts is None:
            return new_y, new_state
        keep = counts[t]
        return tf.nest.map_structure(
            lambda new, old: tf.where(keep, new, old), (new_y, new_state), (y, state)
        )

    if isinstance(length, int) and length <= UNROLL:
        outputs = []
        for t in reversed(range(length)) if reverse else range(length):
            y, state = advance(t, y, state)
            outputs.append(y)
        if not outputs:
            return tf.zeros([tf.shape(x)[0], 0, cell.units], y.dtype), y, state
        return tf.stack(outputs[::-1] if reverse else outputs, 1), y, state

    def body(number: tf.Tensor, y: tf.Tensor, state: Any, array: tf.TensorArray) -> Any:
        t = length - 1 - number if reverse else number
        y, state = advance(t, y, state)
        return number + 1, y, state, array.write(t, y)

    array = tf.TensorArray(y.dtype, length, element_shape=[None, cell.units])
    _, y, state, array = tf.while_loop(
        lambda number, *_: number < length,
        body,
        (tf.constant(0), y, state, array),
        maximum_iterations=length,  # XLA differentiates no loop without it
    )
    return tf.transpose(array.stack(), [1, 0, 2]), y, state
