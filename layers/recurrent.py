"""Cells that take one step in time, and the layer that takes them through a sequence.

A cell is ``(y, state) = cell(x, state)``: nothing is hidden in it, so one cell can be unrolled,
started anywhere, or carried from batch to batch (``layers.Stateful``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from layers import activations, initializers
from layers.core.arguments import layer_in, whole
from layers.core.base import Layer
from layers.core.errors import LayerError
from layers.core.specs import describe

# Sequences up to this length become one piece of graph, which trains faster than a loop; longer
# ones would take long to trace and compile.
UNROLL = 16


class Cell(Layer):
    """One step in time: ``x [batch, inputs]``, state -> ``(y [batch, units], state)``.

    A subclass sets ``units`` and ``state_size`` (a size, or a tuple of sizes) and writes ``build``
    and ``advance``. What does not depend on the state goes into ``project``, which a sequence needs
    only once for all its steps.
    """

    units: int
    state_size: int | tuple[int, ...]

    def project(self, x: tf.Tensor) -> tf.Tensor:
        """The part of the step that needs no state; ``[batch, ..., inputs]``, any leading axes."""
        return self.cast(x)

    def advance(self, x: tf.Tensor, state: Any, training: bool) -> tuple[tf.Tensor, Any]:
        """The step itself, of an ``x`` that ``project`` has been applied to."""
        raise TypeError(f"{type(self).__name__} must define advance(self, x, state, training)")

    def call(  # type: ignore[override]
        self, x: tf.Tensor, state: Any = None, *, training: bool, projected: bool = False
    ) -> tuple[tf.Tensor, Any]:
        """``state``: as the last step returned it; ``None``: the initial one."""
        if state is None:
            state = self.initial_state(tf.shape(x)[0])
        state = tf.nest.map_structure(self.cast, state)
        return self.advance(x if projected else self.project(x), state, training)

    def initial_state(self, batch: tf.Tensor | int) -> Any:
        """Zeros: the state before the first step."""
        return tf.nest.map_structure(
            lambda size: tf.zeros([batch, size], self.compute_dtype), self.state_size
        )


class _GatedCell(Cell):
    """What the cells below share: ``gates`` kernels side by side, for the input and the state."""

    gates = 1
    biases: tuple[int, ...] = ()  # leading sizes of the bias

    def __init__(
        self,
        units: int,
        use_bias: bool = True,
        kernel_initializer: str | Callable[..., Any] = "glorot_uniform",
        recurrent_initializer: str | Callable[..., Any] = "orthogonal",
        bias_initializer: str | Callable[..., Any] = "zeros",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.units = whole(self, "units", units)
        self.state_size = self.units
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.recurrent_initializer = initializers.get(recurrent_initializer)
        self.bias_initializer = initializers.get(bias_initializer)

    def build(self, x: tf.TensorSpec) -> None:
        self.require_rank(x, 2, "[batch, inputs]")
        width = self.gates * self.units
        self.w = self.weight("w", [self.require_known(x), width], self.kernel_initializer)
        self.u = self.weight("u", [self.units, width], self.recurrent_initializer)
        if self.use_bias:
            self.b = self.weight("b", [*self.biases, width], self.bias_initializer)

    def project(self, x: tf.Tensor) -> tf.Tensor:
        self.require_size(x, self.w.shape[0])
        x, w = self.cast(x), self.cast(self.w)
        y = x @ w if x.shape.rank == 2 else tf.tensordot(x, w, 1)
        return y + self._bias() if self.use_bias else y

    def _bias(self) -> tf.Tensor:
        return self.cast(self.b)


class RNNCell(_GatedCell):
    """``h = activation(x @ w + h @ u + b)`` (Elman 1990). The state is ``h``, and so is the output.

    Args:
        units: size of the state.
        activation: name in ``layers.activations``, a function, or ``None`` for none.
        recurrent_initializer: orthogonal by default, which keeps the norm of the state.
    """

    def __init__(
        self, units: int, activation: str | Callable[..., Any] | None = "tanh", **options: Any
    ) -> None:
        super().__init__(units, **options)
        self.activation = activations.get(activation)

    def advance(self, x: tf.Tensor, state: Any, training: bool) -> tuple[tf.Tensor, Any]:
        h = self.activation(x + state @ self.cast(self.u))
        return h, h


class GRUCell(_GatedCell):
    """Gated recurrent unit (Cho et al. 2014) in the variant of cuDNN and of Keras's default.

    The reset gate acts on the state *after* its product with the kernel (Keras: ``reset_after``)::

        z, r = sigmoid(x @ w_z + h @ u_z + b_z), sigmoid(x @ w_r + h @ u_r + b_r)
        n = tanh(x @ w_n + b_n + r * (h @ u_n + c_n))
        h = z * h + (1 - z) * n

    ``w``, ``u`` and ``b`` hold the gates side by side in the order z, r, n. ``b`` is
    ``[2, 3 * units]``: what is added to the input's product, then what is added to the state's.
    The state is ``h``, and so is the output.
    """

    gates = 3
    biases = (2,)

    def _bias(self) -> tf.Tensor:
        return self.cast(self.b[0])

    def advance(self, x: tf.Tensor, state: Any, training: bool) -> tuple[tf.Tensor, Any]:
        inner = state @ self.cast(self.u)
        if self.use_bias:
            inner += self.cast(self.b[1])
        x_gates, x_new = tf.split(x, [2 * self.units, self.units], -1)
        h_gates, h_new = tf.split(inner, [2 * self.units, self.units], -1)
        z, r = tf.split(tf.sigmoid(x_gates + h_gates), 2, -1)
        new = tf.tanh(x_new + r * h_new)
        h = z * state + (1.0 - z) * new
        return h, h


class LSTMCell(_GatedCell):
    """Long short-term memory (Hochreiter and Schmidhuber 1997) with a forget gate (Gers 2000)::

        i, f, o = sigmoid of x @ w + h @ u + b, for each;  g = tanh of the same
        c = f * c + i * g
        h = o * tanh(c)

    ``w``, ``u`` and ``b`` hold the gates side by side in the order i, f, g, o. The state is
    ``(h, c)``, the output ``h``.

    Args:
        units: size of each state.
        forget_bias: is added to f beside ``b``, so that the cell remembers at first (Jozefowicz et
            al. 2015). (Keras puts it into the initial bias: give 0 to use its weights.)
    """

    gates = 4

    def __init__(self, units: int, forget_bias: float = 1.0, **options: Any) -> None:
        super().__init__(units, **options)
        self.state_size = (self.units, self.units)
        self.forget_bias = float(forget_bias)

    def advance(self, x: tf.Tensor, state: Any, training: bool) -> tuple[tf.Tensor, Any]:
        h, c = state
        i, f, g, o = tf.split(x + h @ self.cast(self.u), 4, -1)
        c = tf.sigmoid(f + self.forget_bias) * c + tf.sigmoid(i) * tf.tanh(g)
        h = tf.sigmoid(o) * tf.tanh(c)
        return h, (h, c)


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
        self.cell = cell_in(self, cell)
        self.return_sequences = return_sequences
        self.reverse = reverse

    def build(self, x: tf.TensorSpec) -> None:
        build_cell(self, self.cell, x)

    def call(self, x: tf.Tensor, training: bool, mask: tf.Tensor | None = None) -> tf.Tensor:
        self.require_rank(x, 3, "[batch, time, inputs]")
        state = self.cell.initial_state(tf.shape(x)[0])
        outputs, last, _ = scan(self.cell, x, state, training, mask, self.reverse)
        return outputs if self.return_sequences else last


def cell_in(layer: Layer, cell: Any) -> Cell:
    """``cell``, a ``Cell``; ``LayerError`` where it is something else."""
    if not isinstance(layer_in(layer, "cell", cell), Cell):
        raise LayerError(
            f"{layer.label}: cell must be a Cell such as layers.GRUCell, got {cell.label}"
        )
    return cell


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
