"""Recurrent layers: Keras 3's outputs and gradients, masks, direction, loop and unrolled alike."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import layers
from layers import recurrent

CELLS: dict[str, Any] = {
    "rnn": (lambda: layers.RNNCell(3), keras.layers.SimpleRNN),
    "gru": (lambda: layers.GRUCell(3), keras.layers.GRU),
    "lstm": (lambda: layers.LSTMCell(3, forget_bias=0.0), keras.layers.LSTM),
}
MASKS = {
    "no mask": None,
    "mask": np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [0, 1, 0, 1, 0], [0, 0, 0, 0, 0]], bool),
}


def _series(steps: int = 5, batch: int = 4) -> tf.Tensor:
    return tf.constant(np.random.default_rng(0).normal(size=(batch, steps, 2)), tf.float32)


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("reverse", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("name", CELLS)
def test_outputs_and_gradients_equal_keras(
    name: str, sequences: bool, reverse: bool, mask: str
) -> None:
    cell, theirs_type = CELLS[name]
    ours = layers.Recurrent(cell(), return_sequences=sequences, reverse=reverse)
    theirs = theirs_type(3, return_sequences=sequences, go_backwards=reverse)
    x, steps = _series(), MASKS[mask]
    layers.build(ours, x)
    theirs.build(x.shape)
    random = np.random.default_rng(1)
    for weight, other in zip(
        (ours.cell.w, ours.cell.u, ours.cell.b), theirs.trainable_variables, strict=True
    ):
        weight.assign(random.normal(size=weight.shape))
        other.assign(weight)
    found = []
    for layer, weights in (
        (ours, [ours.cell.w, ours.cell.u, ours.cell.b]),
        (theirs, [v.value for v in theirs.trainable_variables]),
    ):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, mask=None if steps is None else tf.constant(steps), training=True)
            if sequences and reverse and layer is theirs:
                y = y[:, ::-1]  # Keras leaves them in the order they were made
            loss = tf.reduce_sum(
                y * tf.cos(tf.reshape(tf.range(tf.size(y), dtype=y.dtype), y.shape))
            )
        found.append([y, *tape.gradient(loss, [x, *weights])])
    for mine, keras_own in zip(*found, strict=True):
        np.testing.assert_allclose(mine, keras_own, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.exhaustive)])
@pytest.mark.slow
def test_a_loop_computes_what_unrolled_steps_do(
    monkeypatch: pytest.MonkeyPatch, reverse: bool, compiled: bool
) -> None:
    layer = layers.Recurrent(layers.LSTMCell(3), return_sequences=True, reverse=reverse)
    x = _series(7)
    layers.build(layer, x)
    weights = layer.trainable_variables
    mask = tf.sequence_mask([7, 3, 0, 5], 7)

    def gradients() -> Any:
        @tf.function(jit_compile=compiled, autograph=False)
        def run(x: tf.Tensor) -> Any:
            with tf.GradientTape() as tape:
                y = layer(x, mask=mask)
                loss = tf.reduce_sum(y**2)
            return y, tape.gradient(loss, weights)

        types = {op.type for op in run.get_concrete_function(x).graph.get_operations()}
        return types & {"While", "StatelessWhile"}, run(x)

    loops, unrolled = gradients()
    assert not loops
    monkeypatch.setattr(recurrent, "UNROLL", 2)
    loops, looped = gradients()
    assert loops
    for a, b in zip(tf.nest.flatten(looped), tf.nest.flatten(unrolled), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_number_of_steps_may_be_unknown() -> None:
    layer = layers.Recurrent(layers.GRUCell(3), return_sequences=True)
    layers.build(layer, tf.TensorSpec([None, None, 2]))
    run = tf.function(layer, input_signature=[tf.TensorSpec([None, None, 2])], autograph=False)
    for steps in (5, 20):
        x = _series(steps)
        np.testing.assert_allclose(run(x), layer(x), rtol=1e-5, atol=1e-6)
    assert layer(_series(0)).shape == (4, 0, 3)


def test_cell_has_no_state_but_the_one_it_is_given() -> None:
    cell, x = layers.LSTMCell(3), _series()
    layer = layers.Recurrent(cell, return_sequences=True)
    expected = layer(x)
    state = cell.initial_state(4)
    for t in range(5):
        y, state = cell(x[:, t], state)
        np.testing.assert_allclose(y, expected[:, t], rtol=1e-5, atol=1e-6)
    assert [part.shape for part in state] == [(4, 3), (4, 3)]


def test_recurrent_kernels_begin_orthogonal() -> None:
    cell = layers.GRUCell(8)
    layers.build(cell, tf.TensorSpec([None, 2]))
    np.testing.assert_allclose(cell.u @ tf.transpose(cell.u), np.eye(8), atol=1e-5)
    tall = layers.initializers.orthogonal([3, 4, 5], "float32", tf.constant([1, 2], tf.int64))
    flat = tf.reshape(tall, [12, 5])
    np.testing.assert_allclose(tf.transpose(flat) @ flat, np.eye(5), atol=1e-5)


@pytest.mark.parametrize(
    ("make", "shape", "message"),
    [
        (
            lambda: layers.Recurrent(layers.GRUCell(3)),
            [2, 5],
            r"Recurrent: expects \[batch, time, inputs\] \(rank 3\), got \[None, 5\] float32",
        ),
        (
            lambda: layers.Recurrent(layers.Dense(3)),
            [2, 5, 3],
            r"Recurrent: cell must be a Cell such as layers.GRUCell, got Dense",
        ),
        (
            lambda: layers.GRUCell(0),
            [2, 5],
            r"GRUCell: units must be a whole number, at least 1; got 0",
        ),
        (
            lambda: layers.Stateful(layers.GRUCell(3), batch=2),
            [3, 5, 2],
            r"Stateful: holds the state of batch=2 rows, and a step has 3; batch must be",
        ),
    ],
)
def test_what_does_not_fit_is_said(make: Any, shape: list[int], message: str) -> None:
    with pytest.raises(layers.LayerError, match=message):
        make()(tf.zeros(shape), training=True)


@pytest.mark.parametrize(
    ("join", "sequences", "mask"),
    [
        ("concat", False, "no mask"),
        ("concat", False, "mask"),
        ("concat", True, "mask"),
        ("add", False, "mask"),
        ("mean", True, "no mask"),
    ],
)
def test_both_directions_equal_keras(join: str, sequences: bool, mask: str) -> None:
    ours = layers.Bidirectional(
        layers.GRUCell(3), layers.LSTMCell(3, forget_bias=0.0), join, sequences
    )
    theirs = keras.layers.Bidirectional(
        keras.layers.GRU(3, return_sequences=sequences),
        merge_mode={"add": "sum", "mean": "ave"}.get(join, join),
        backward_layer=keras.layers.LSTM(3, return_sequences=sequences, go_backwards=True),
    )
    _assert_same(ours, theirs, (ours.forward, ours.backward), MASKS[mask], zeros=sequences)


@pytest.mark.parametrize(("reverse", "mask"), [(False, "no mask"), (True, "mask")])
def test_stacked_cells_equal_keras(reverse: bool, mask: str) -> None:
    cells = [layers.LSTMCell(3, forget_bias=0.0), layers.GRUCell(2), layers.RNNCell(4)]
    ours = layers.Recurrent(layers.StackedCells(cells), reverse=reverse)
    theirs = keras.layers.RNN(
        keras.layers.StackedRNNCells(
            [keras.layers.LSTMCell(3), keras.layers.GRUCell(2), keras.layers.SimpleRNNCell(4)]
        ),
        go_backwards=reverse,
    )
    _assert_same(ours, theirs, cells, MASKS[mask])


def _assert_same(
    ours: layers.Layer, theirs: Any, cells: Any, mask: np.ndarray | None, zeros: bool = False
) -> None:
    """Outputs and gradients, with the same weights; ``zeros``: Keras's are 0 where masked."""
    x = _series()
    layers.build(ours, x)
    theirs.build(x.shape)
    random = np.random.default_rng(1)
    weights = [weight for cell in cells for weight in (cell.w, cell.u, cell.b)]
    for weight, other in zip(weights, theirs.trainable_variables, strict=True):
        weight.assign(random.normal(size=weight.shape))
        other.assign(weight)
    counts = 1.0 if mask is None or not zeros else tf.cast(mask[..., None], tf.float32)
    found = []
    for layer, its in ((ours, weights), (theirs, [v.value for v in theirs.trainable_variables])):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = counts * layer(x, mask=None if mask is None else tf.constant(mask), training=True)
            loss = tf.reduce_sum(
                y * tf.cos(tf.reshape(tf.range(tf.size(y), dtype=y.dtype), y.shape))
            )
        found.append([y, *tape.gradient(loss, [x, *its])])
    for mine, keras_own in zip(*found, strict=True):
        np.testing.assert_allclose(mine, keras_own, rtol=1e-5, atol=1e-5)


def test_stacked_cells_are_one_recurrent_layer_on_another() -> None:
    below, above = layers.LSTMCell(3), layers.GRUCell(2)
    x = _series(20)  # too long to be unrolled
    stacked = layers.Recurrent(layers.StackedCells([below, above]), return_sequences=True)
    y = stacked(x)
    one = layers.Recurrent(below, return_sequences=True)
    other = layers.Recurrent(above, return_sequences=True)
    np.testing.assert_allclose(y, other(one(x)), rtol=1e-5, atol=1e-6)


def test_state_of_stacked_cells_is_the_tuple_of_theirs() -> None:
    cell = layers.StackedCells([layers.LSTMCell(3), layers.GRUCell(2)])
    y, state = cell(_series()[:, 0])
    (h, c), top = state
    assert [part.shape for part in (y, h, c, top)] == [(4, 2), (4, 3), (4, 3), (4, 2)]
    np.testing.assert_array_equal(y, top)
    assert cell.units == 2
    again, _ = cell(_series()[:, 1], state)
    fresh, _ = cell(_series()[:, 1])
    assert np.abs(again - fresh).max() > 1e-3


def test_stacked_cells_project_only_the_first_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes: dict[str, list[Any]] = {"below": [], "above": []}
    cells = {"below": layers.GRUCell(3), "above": layers.GRUCell(3)}
    layer = layers.Recurrent(layers.StackedCells(list(cells.values())))
    layers.build(layer, tf.TensorSpec([None, 5, 2]))
    for name, cell in cells.items():

        def project(x: tf.Tensor, name: str = name, real: Any = cell.project) -> tf.Tensor:
            shapes[name].append(tuple(x.shape))
            return real(x)

        monkeypatch.setattr(cell, "project", project)
    layer(_series())
    assert shapes == {"below": [(4, 5, 2)], "above": [(4, 3)] * 5}


def test_stateful_carries_the_states_of_stacked_cells() -> None:
    cell = layers.StackedCells([layers.LSTMCell(3), layers.GRUCell(2)])
    layer, x = layers.Stateful(cell, batch=4, return_sequences=True), _series(6)
    layers.build(layer, x)
    parts = [layer(x[:, at : at + 2], training=True) for at in (0, 2, 4)]
    np.testing.assert_allclose(tf.concat(parts, 1), layer(x), rtol=1e-5, atol=1e-6)
    assert [tuple(table.shape) for table in layer.carried] == [(4, 3), (4, 3), (4, 2)]


def test_stacked_cells_may_compute_in_dtypes_of_their_own() -> None:
    cells = [layers.LSTMCell(3, compute_dtype="float64"), layers.GRUCell(2)]
    layer = layers.Recurrent(layers.StackedCells(cells), return_sequences=True)
    expected = layers.Recurrent(layers.StackedCells([layers.LSTMCell(3), layers.GRUCell(2)]))
    x = _series(20)  # too long to be unrolled
    y = tf.function(layer, autograph=False)(x)
    assert y.dtype == tf.float32
    np.testing.assert_allclose(y[:, -1], expected(x), rtol=1e-5, atol=1e-6)
