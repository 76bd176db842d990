"""State that is carried from batch to batch: over calls, replicas, microbatches, checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import layers

SERIES = tf.TensorSpec([None, 12, 2])


def _x(batch: int = 4, steps: int = 12) -> tf.Tensor:
    return tf.constant(np.random.default_rng(0).normal(size=(batch, steps, 2)), tf.float32)


def _made(batch: int = 4, cell: Any = layers.LSTMCell) -> layers.Stateful:
    layer = layers.Stateful(cell(3), batch=batch, return_sequences=True)
    layers.build(layer, SERIES)
    return layer


def _tables(layer: layers.Stateful) -> list[np.ndarray]:
    return [table.numpy() for table in layer.carried]


@pytest.mark.parametrize("cell", [layers.RNNCell, layers.GRUCell, layers.LSTMCell])
def test_three_batches_are_one_sequence(cell: Any) -> None:
    layer, x = _made(cell=cell), _x()
    parts = [layer(x[:, at : at + 4], training=True) for at in (0, 4, 8)]
    np.testing.assert_allclose(tf.concat(parts, 1), layer(x), rtol=1e-5, atol=1e-6)


def test_no_gradient_goes_back_into_the_batch_before() -> None:
    layer, x = _made(), _x()
    first, second = x[:, :4], x[:, 4:8]
    with tf.GradientTape() as tape:
        tape.watch(first)
        layer(first, training=True)
        y = layer(second, training=True)
    assert tape.gradient(y, first) is None


def test_evaluation_begins_with_zeros_and_leaves_the_training_state() -> None:
    layer, x = _made(), _x()
    fresh = layer(x)
    layer(x, training=True)
    carried = _tables(layer)
    assert all(np.any(part != 0) for part in carried)
    np.testing.assert_array_equal(layer(x), fresh)
    assert layer(_x(7)).shape == (7, 12, 3)  # not the training's batch size
    for now, before in zip(_tables(layer), carried, strict=True):
        np.testing.assert_array_equal(now, before)


def test_reset_forgets_the_state_and_nothing_else() -> None:
    model = layers.Stack({"carry": _made(), "out": layers.Dense(2)})
    x = _x()
    model(x)
    first = model(x, training=True)
    assert not np.allclose(model(x, training=True), first)
    weights = [v.numpy() for v in model.trainable_variables]
    layers.reset(model)
    assert all(not part.any() for part in _tables(model["carry"]))
    np.testing.assert_array_equal(model(x, training=True), first)
    for variable, before in zip(model.trainable_variables, weights, strict=True):
        np.testing.assert_array_equal(variable, before)


def test_a_smaller_batch_leaves_the_other_rows() -> None:
    layer, x = _made(), _x()
    layer(x, training=True)
    before = _tables(layer)
    layer(x[:3], training=True)
    for now, old in zip(_tables(layer), before, strict=True):
        assert not np.allclose(now[:3], old[:3])
        np.testing.assert_array_equal(now[3], old[3])


def _carry(strategy: Any, bounds: list[int], microbatches: int = 1) -> tuple[Any, Any]:
    """Two batches of 8, divided over replicas at ``bounds``, each shard in microbatches."""
    with strategy.scope():
        layer = _made(batch=8)
    x = _x(8)

    def replica(at: int, bounds: tf.Tensor) -> tf.Tensor:
        number = tf.distribute.get_replica_context().replica_id_in_sync_group
        shard = x[bounds[number] : bounds[number + 1], at : at + 6]
        outputs = []
        for part in range(microbatches):
            count = tf.shape(shard)[0] // microbatches
            with layers.training_step(
                seed=0, step=0, replica=number, microbatch=part, microbatches=microbatches
            ):
                rows = shard[part * count : (part + 1) * count]
                outputs.append(layer(rows, training=True))
        return tf.concat(outputs, 0)

    @tf.function(autograph=False)
    def run(bounds: tf.Tensor) -> list[Any]:
        return [strategy.run(replica, args=(at, bounds)) for at in (0, 6)]

    results = [strategy.experimental_local_results(y) for y in run(tf.constant(bounds))]
    return np.concatenate([np.concatenate(y, 0) for y in results], 1), layer


@pytest.mark.parametrize(
    ("replicas", "bounds", "microbatches"),
    [
        (1, [0, 8], 4),
        (2, [0, 4, 8], 1),
        (2, [0, 4, 8], 2),
        (2, [0, 5, 8], 1),
        (2, [0, 8, 8], 1),
        (4, [0, 2, 4, 6, 8], 2),
    ],
)
@pytest.mark.exhaustive
def test_replicas_and_microbatches_carry_what_one_would(
    strategy_of: Callable[[int], Any], replicas: int, bounds: list[int], microbatches: int
) -> None:
    expected, alone = _carry(strategy_of(1), [0, 8])
    found, layer = _carry(strategy_of(replicas), bounds, microbatches)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    for table, one in zip(layer.carried, alone.carried, strict=True):
        copies = strategy_of(replicas).experimental_local_results(table)
        assert len(copies) == replicas
        for copy in copies:
            np.testing.assert_array_equal(copy.numpy(), copies[0].numpy())
            np.testing.assert_allclose(copy.numpy(), one.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_state_is_restored_exactly_on_another_number_of_replicas(
    strategy_of: Callable[[int], Any], tmp_path: Path
) -> None:
    _, source = _carry(strategy_of(2), [0, 4, 8])
    path = tf.train.Checkpoint(model=source).write(str(tmp_path / "two"))
    for replicas in (1, 4):
        with strategy_of(replicas).scope():
            target = _made(batch=8)
        tf.train.Checkpoint(model=target).read(path).assert_consumed()
        for table, before in zip(target.carried, source.carried, strict=True):
            for copy in strategy_of(replicas).experimental_local_results(table):
                np.testing.assert_array_equal(copy.numpy(), before.numpy())
