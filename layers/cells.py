"""Cells that take one step in time.

A cell is ``(y, state) = cell(x, state)``: nothing is hidden in it, so one cell can be unrolled,
started anywhere, or carried from batch to batch (``layers.Stateful``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from layers import activations, initializers
from layers.core.arguments import layer_in, whole
from layers.core.base import Layer
from layers.core.errors import LayerError


class Cell(Layer):
    """One step in time: ``[batch, inputs], state -> [batch, units], state``.

    A subclass sets ``units`` and ``state_size`` (a size, or a nest of sizes) and writes ``build``
    and ``advance``. What does not depend on the state goes into ``project``, which a sequence needs
    only once for all its steps.
    """

    units: int
    state_size: Any

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


class StackedCells(Cell):
    """Cells on top of each other, as one cell: each takes the output of the one below.

    The output is that of the last; the state is a tuple of the cells' states, the first one's
    first. A deep recurrent net (Graves et al. 2013) is ``Recurrent(StackedCells([...]))``.

    Args:
        cells: ``RNNCell``, ``GRUCell``, ``LSTMCell`` or cells of your own, from below to above.
    """

    def __init__(self, cells: Sequence[Layer], **options: Any) -> None:
        super().__init__(**options)
        if not cells:
            raise LayerError(f"{self.label}: cells must be one cell at least; got none")
        self.cells = [cell_in(self, f"cells.{i}", cell) for i, cell in enumerate(cells)]
        self.units = self.cells[-1].units
        self.state_size = tuple(cell.state_size for cell in self.cells)

    def build(self, x: tf.TensorSpec) -> None:
        self.require_rank(x, 2, "[batch, inputs]")
        for cell in self.cells:
            if not cell._built:  # a cell may be shared
                cell._build_for(x)
            x = tf.TensorSpec([None, cell.units], self.compute_dtype)

    def project(self, x: tf.Tensor) -> tf.Tensor:
        return self.cells[0].project(x)  # what the others take depends on the state

    def advance(self, x: tf.Tensor, state: Any, training: bool) -> tuple[tf.Tensor, Any]:
        states = []
        for i, (cell, before) in enumerate(zip(self.cells, state, strict=True)):
            x, after = cell(x, before, training=training, projected=i == 0)
            states.append(after)
        return tf.nest.map_structure(self.cast, (x, tuple(states)))


def cell_in(layer: Layer, name: str, value: Any) -> Cell:
    """``value``, a ``Cell``; ``LayerError`` where it is something else."""
    if not isinstance(layer_in(layer, name, value), Cell):
        raise LayerError(
            f"{layer.label}: {name} must be a Cell such as layers.GRUCell, got {value.label}"
        )
    return value
