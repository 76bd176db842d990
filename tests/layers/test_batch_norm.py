"""BatchNorm over replicas: the statistics are exact, however the examples are spread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import layers

X = np.random.default_rng(0).normal(3, 2, (8, 5)).astype(np.float32)


def _train(strategy: Any, layer: layers.Layer, x: np.ndarray, bounds: list[int]) -> list[Any]:
    """Outputs and gradients by the input, of each replica's shard, after one step."""

    def replica_step() -> Any:
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        shard = tf.constant(x)[tf.constant(bounds)[replica] : tf.constant(bounds)[replica + 1]]
        with tf.GradientTape() as tape:
            tape.watch(shard)
            y = layer(shard, training=True)
            loss = tf.reduce_sum(y**3)
        return y, tape.gradient(loss, shard)

    run = tf.function(lambda: strategy.run(replica_step), autograph=False)
    return [
        np.concatenate([part.numpy() for part in strategy.experimental_local_results(result)])
        for result in run()
    ]


@pytest.mark.parametrize("bounds", [[0, 4, 8], [0, 7, 8], [0, 8, 8], [0, 0, 8]])
def test_statistics_are_exact_over_uneven_and_empty_shards(
    strategy_of: Callable[[int], Any], bounds: list[int]
) -> None:
    strategy = strategy_of(2)
    with strategy.scope():
        layer = layers.BatchNorm(momentum=0.9)
        layers.build(layer, tf.TensorSpec([None, 5]))
    y, gradient = _train(strategy, layer, X, bounds)

    exact = X.astype(np.float64)
    mean, variance = exact.mean(0), exact.var(0)  # the biased variance
    np.testing.assert_allclose(y, (exact - mean) / np.sqrt(variance + 1e-3), rtol=1e-5, atol=1e-6)
    for local in strategy.experimental_local_results(layer.moving_mean):
        np.testing.assert_allclose(local, 0.1 * mean, rtol=1e-6)
    for local in strategy.experimental_local_results(layer.moving_variance):
        np.testing.assert_allclose(local, 0.9 + 0.1 * variance, rtol=1e-6)

    alone = layers.BatchNorm()
    x = tf.constant(X)
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(alone(x, training=True) ** 3)
    np.testing.assert_allclose(gradient, tape.gradient(loss, x), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_four_replicas_agree_with_one(strategy_of: Callable[[int], Any]) -> None:
    results = []
    for replicas, bounds in ((1, [0, 8]), (4, [0, 3, 3, 4, 8])):
        strategy = strategy_of(replicas)
        with strategy.scope():
            layer = layers.BatchNorm()
        results.append([*_train(strategy, layer, X, bounds), layer.moving_variance.numpy()])
    for one, four in zip(*results, strict=True):
        np.testing.assert_allclose(four, one, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("epsilon", [0.0, 2e-5])  # step by step, in one operation
def test_small_variance_beside_a_large_mean_keeps_its_digits(epsilon: float) -> None:
    x = 1000 + np.random.default_rng(0).normal(0, 0.1, (64, 4, 3)).astype(np.float32)
    layer = layers.BatchNorm(momentum=0.0, epsilon=epsilon)
    y = layer(tf.constant(x), training=True)
    exact = x.reshape(-1, 3).astype(np.float64)
    # One float32 step at 1000 is 6e-5: sum(x^2) / n - mean^2 would be wrong by 100 %.
    np.testing.assert_allclose(layer.moving_variance, exact.var(0), rtol=1e-3)
    # A mean that is right to 6 such steps is 4e-4 / 0.1 off here.
    expected = (exact - exact.mean(0)) / np.sqrt(exact.var(0) + epsilon)
    np.testing.assert_allclose(tf.reshape(y, [-1, 3]), expected, atol=4e-3)


def test_statistics_are_float32_when_computing_in_bfloat16() -> None:
    layer = layers.BatchNorm(momentum=0.0, compute_dtype="bfloat16")
    y = layer(tf.constant(X), training=True)
    assert y.dtype == tf.bfloat16
    np.testing.assert_allclose(layer.moving_mean, X.mean(0), rtol=1e-6)


@pytest.mark.parametrize("shape", [[4, 7, 5], [4, 3, 3, 5], [2, 2, 3, 2, 5], [1, 1, 5]])
@pytest.mark.parametrize("options", [{}, {"use_scale": False}, {"use_offset": False}])
def test_one_operation_agrees_with_its_steps(
    shape: list[int], options: dict[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    x = tf.constant(np.random.default_rng(1).normal(3, 2, shape).astype(np.float32))
    results = []
    for fusible in (True, False):
        layer = layers.BatchNorm(momentum=0.9, **options)
        layers.build(layer, tf.TensorSpec(shape))
        assert layer._fusible(x)
        monkeypatch.setattr(layer, "_fusible", lambda x, fusible=fusible: fusible)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
            loss = tf.reduce_sum(y**3)
        gradients = tape.gradient(loss, [x, *layer.trainable_variables])
        results.append([y, *gradients, layer.moving_mean, layer.moving_variance])
    for fused, plain in zip(*results, strict=True):
        assert fused.shape == plain.shape
        np.testing.assert_allclose(fused, plain, rtol=1e-4, atol=1e-4)


def test_is_one_operation_on_one_replica_and_its_steps_on_two(
    strategy_of: Callable[[int], Any],
) -> None:
    for replicas, operations in ((1, 1), (2, 0)):
        strategy = strategy_of(replicas)
        with strategy.scope():
            layer = layers.BatchNorm()
            layers.build(layer, tf.TensorSpec([None, 2, 5]))

        @tf.function
        def step(strategy: Any = strategy, layer: layers.Layer = layer) -> Any:
            return strategy.run(lambda: layer(tf.reshape(X, [4, 2, 5]), training=True))

        graph = step.get_concrete_function().graph.as_graph_def()
        nodes = [node for part in (graph, *graph.library.function) for node in _nodes(part)]
        assert sum(node.op == "FusedBatchNormV3" for node in nodes) == operations


def _nodes(part: Any) -> Any:
    return part.node if hasattr(part, "node") else part.node_def


def test_epsilon_below_that_of_the_one_operation_counts() -> None:
    x = tf.constant([[[1.0], [1.0 + 2e-4]]])  # a variance of 1e-8
    y = layers.BatchNorm(epsilon=1e-8)(x, training=True)
    np.testing.assert_allclose(y, [[[-(0.5**0.5)], [0.5**0.5]]], rtol=2e-3)


@pytest.mark.parametrize("shape", [[0, 5], [0, 2, 5]])  # step by step, in one operation
def test_no_example_anywhere_leaves_the_statistics(shape: list[int]) -> None:
    layer = layers.BatchNorm()
    assert layer(tf.zeros(shape), training=True).shape == shape
    assert layer.moving_mean.numpy().tolist() == [0.0] * 5
    assert layer.moving_variance.numpy().tolist() == [1.0] * 5


@pytest.mark.slow
def test_trains_in_an_xla_compiled_loop_on_one_replica(strategy_of: Callable[[int], Any]) -> None:
    strategy = strategy_of(1)
    finals = []
    for compiled in (False, True):
        with strategy.scope():
            model = layers.Stack({"dense": layers.Dense(4), "norm": layers.BatchNorm()})
            layers.build(model, tf.TensorSpec([None, 5]))
        weights = list(model.trainable_variables)

        def replica_step(model: Any = model, weights: Any = weights) -> None:
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((model(tf.constant(X), training=True) - 1.0) ** 4)
            for w, g in zip(weights, tape.gradient(loss, weights), strict=True):
                w.assign_sub(0.1 * g)

        @tf.function(jit_compile=compiled)
        def loop(step: Any = replica_step) -> None:
            for _ in tf.range(5):
                with tf.name_scope(""):
                    strategy.run(step)

        loop()
        finals.append({p: v.numpy() for p, v in model.named_variables().items()})
    assert not np.allclose(finals[0]["norm/moving_mean"], 0)
    for path, value in finals[0].items():
        np.testing.assert_allclose(finals[1][path], value, rtol=1e-4, atol=1e-6, err_msg=path)


def test_over_replicas_false_uses_each_shard_alone(strategy_of: Callable[[int], Any]) -> None:
    strategy = strategy_of(2)
    with strategy.scope():
        layer = layers.BatchNorm(momentum=0.0, over_replicas=False)
        layers.build(layer, tf.TensorSpec([None, 5]))
    y, _ = _train(strategy, layer, X, [0, 4, 8])
    shards = [X[:4], X[4:]]
    expected = [(s - s.mean(0)) / np.sqrt(s.var(0) + 1e-3) for s in shards]
    np.testing.assert_allclose(y, np.concatenate(expected), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(layer.moving_mean, (shards[0].mean(0) + shards[1].mean(0)) / 2, 1e-5)
