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
@pytest.mark.parametrize("reverse", [False, True])
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
@pytest.mark.parametrize("compiled", [False, True])
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
