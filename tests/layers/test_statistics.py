"""Statistics of what training has seen: exact over batches, shards and long runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import layers

X = (np.random.default_rng(0).normal(size=(24, 3)) * [1, 10, 0.1] + [0, -5, 100]).astype(np.float32)
# Where each of three batches of eight is cut for two replicas: evenly, unevenly, all to the last.
SHARDS = ((0, 4, 8), (0, 7, 8), (0, 0, 8))


def _train(
    strategy: Any, layer: layers.Layer, batches: Sequence[np.ndarray], shards: Any = SHARDS
) -> list[np.ndarray]:
    """The output of each training step, the replicas' shards put together."""

    @tf.function(autograph=False)
    def step(x: tf.Tensor, bounds: tf.Tensor) -> Any:
        def replica_step() -> tf.Tensor:
            replica = tf.distribute.get_replica_context().replica_id_in_sync_group
            return layer(x[bounds[replica] : bounds[replica + 1]], training=True)

        return strategy.run(replica_step)

    outputs = []
    for x, bounds in zip(batches, shards, strict=True):
        y = step(tf.constant(x), tf.constant(bounds))
        outputs.append(np.concatenate(strategy.experimental_local_results(y)))
    return outputs


def _built(strategy: Any, layer: Callable[[], layers.Layer]) -> Any:
    with strategy.scope():
        made = layer()
        layers.build(made, tf.TensorSpec([None, 3]))
    return made


# MovingAverage -----------------------------------------------------------------------------------


def test_the_average_weighs_batches_by_decay_and_all_their_examples_alike(
    strategy_of: Callable[[int], Any],
) -> None:
    strategy = strategy_of(2)
    layer = _built(strategy, lambda: layers.MovingAverage(0.9))
    outputs = _train(strategy, layer, np.split(X, 3))
    means = [batch.astype(np.float64).mean(0) for batch in np.split(X, 3)]
    for step, y in enumerate(outputs):
        weights = 0.9 ** np.arange(step, -1, -1)
        expected = np.average(means[: step + 1], axis=0, weights=weights)
        np.testing.assert_allclose(y, np.tile(expected, [8, 1]), rtol=1e-5, atol=1e-6)
    for copy in strategy.experimental_local_results(layer.average):
        np.testing.assert_array_equal(copy, outputs[-1][0])
    np.testing.assert_array_equal(
        layer(tf.constant(X[:2])), outputs[-1][:2]
    )  # evaluation: as it stands


def test_a_constant_is_its_own_average_from_the_first_batch_on() -> None:
    layer = layers.MovingAverage(0.999)
    np.testing.assert_array_equal(layer(tf.fill([2, 3], 7.0)), np.zeros([2, 3]))
    for _ in range(3):
        np.testing.assert_array_equal(layer(tf.fill([2, 3], 7.0), training=True), [[7.0] * 3] * 2)


def test_the_average_of_an_empty_batch_is_left_alone_and_has_no_gradient() -> None:
    layer = layers.MovingAverage(0.5)
    layer(tf.constant(X), training=True)
    before = [v.numpy() for v in layer.variables]
    assert layer(tf.constant(X[:0]), training=True).shape == (0, 3)
    for variable, value in zip(layer.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)
    x = tf.constant(X)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, training=True)
    assert tape.gradient(y, x) is None


def test_the_average_of_another_shape_is_an_error() -> None:
    layer = layers.MovingAverage(0.5)
    layer(tf.constant(X))
    with pytest.raises(layers.LayerError) as error:
        layer(tf.constant(X[:, :1]))
    assert str(error.value) == ("MovingAverage: was built for [None, 3], got [24, 1] float32")


# RunningStatistics -------------------------------------------------------------------------------


@pytest.mark.parametrize("replicas", [1, 2])
def test_statistics_are_those_of_all_that_was_seen(
    strategy_of: Callable[[int], Any], replicas: int
) -> None:
    strategy = strategy_of(replicas)
    layer = _built(strategy, layers.RunningStatistics)
    shards = SHARDS if replicas == 2 else [(0, 8)] * 3
    outputs = _train(strategy, layer, np.split(X, 3), shards)
    for step, y in enumerate(outputs):
        seen = X[: 8 * (step + 1)].astype(np.float64)
        expected = (seen[-8:] - seen.mean(0)) / seen.std(0)  # with the batch itself
        np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)
    for copy in strategy.experimental_local_results(layer.mean):
        np.testing.assert_allclose(copy, X.astype(np.float64).mean(0), rtol=1e-6)
    for copy in strategy.experimental_local_results(layer.variance):
        np.testing.assert_allclose(copy, X.astype(np.float64).var(0), rtol=1e-6)
    for copy in strategy.experimental_local_results(layer.count):
        assert copy.numpy() == 24
    expected = (X[:2] - X.mean(0, np.float64)) / X.std(0, np.float64)
    np.testing.assert_allclose(layer(tf.constant(X[:2])), expected, rtol=1e-4, atol=1e-4)


def test_how_the_data_is_cut_into_batches_makes_no_difference() -> None:
    results = []
    for ends in ([], range(1, 24), [0, 23], [5, 10]):
        layer = layers.RunningStatistics()
        for batch in np.split(X, list(ends)):
            layer(tf.constant(batch), training=True)
        results.append([layer.count.numpy(), layer.mean.numpy(), layer.variance.numpy()])
    for result in results[1:]:
        for value, expected in zip(result, results[0], strict=True):
            np.testing.assert_allclose(value, expected, rtol=1e-6, atol=1e-7)


def test_axis_says_what_has_statistics_of_its_own() -> None:
    images = np.random.default_rng(1).integers(256, size=(6, 2, 3, 4)).astype(np.uint8)
    for axis, reduced in (([1, 2, 3], (0,)), (None, (0, 1, 2, 3)), (2, (0, 1, 3))):
        layer = layers.RunningStatistics(axis)
        y = layer(tf.constant(images), training=True)
        mean, deviation = (f(images, reduced, np.float64, keepdims=True) for f in (np.mean, np.std))
        np.testing.assert_allclose(y, (images - mean) / deviation, rtol=1e-4, atol=1e-5)
        assert layer.count.numpy() == images.size // mean.size


def test_a_long_run_goes_on_counting_and_moving() -> None:
    layer = layers.RunningStatistics()
    layers.build(layer, X)
    layer.count.assign(10**12)
    layer.mean.assign([1.0, 1.0, 1.0])
    layer(tf.fill([5, 3], 3.0), training=True)
    # In float32 the count would be 10^12 still, and the mean 1.
    assert layer.count.numpy() == 10**12 + 5
    np.testing.assert_allclose(layer.mean.numpy() - 1.0, 2 * 5 / 1e12, rtol=1e-4)
    np.testing.assert_allclose(layer.variance.numpy() - 1.0, 5 * (4 - 1) / 1e12, rtol=1e-3)


@pytest.mark.parametrize("value", [0.1, 1e4 + 0.3, 3e7])
def test_a_feature_of_one_value_gives_zero(value: float) -> None:
    layer = layers.RunningStatistics()
    for rows in (7, 1, 60):
        y = layer(tf.fill([rows, 2], value), training=True)
        np.testing.assert_allclose(y, np.zeros([rows, 2]), atol=1e-3)


def test_small_variance_beside_a_large_mean_keeps_its_digits() -> None:
    x = (1000 + np.random.default_rng(0).normal(0, 0.1, (256, 3))).astype(np.float32)
    layer = layers.RunningStatistics()
    for batch in np.split(x, 4):
        layer(tf.constant(batch), training=True)
    np.testing.assert_allclose(layer.mean, x.astype(np.float64).mean(0), rtol=1e-9)
    np.testing.assert_allclose(layer.variance, x.astype(np.float64).var(0), rtol=1e-5)


def test_no_gradient_passes_through_the_statistics() -> None:
    layer = layers.RunningStatistics()
    x = tf.constant(X)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, training=True)
    factor = 1 / np.sqrt(X.var(0, np.float64) + 1e-8)
    np.testing.assert_allclose(tape.gradient(y, x), np.tile(factor, [24, 1]), rtol=1e-5)


def test_at_first_it_is_the_identity_and_an_empty_batch_changes_nothing() -> None:
    layer = layers.RunningStatistics()
    np.testing.assert_array_equal(layer(tf.constant(X)), X)
    assert layer(tf.constant(X[:0]), training=True).shape == (0, 3)
    np.testing.assert_array_equal(layer(tf.constant(X)), X)
    assert layer.count.numpy() == 0


# Both --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", ["average", "statistics"])
def test_frozen_they_train_as_they_evaluate(layer: str) -> None:
    model = layers.MovingAverage(0.5) if layer == "average" else layers.RunningStatistics()
    model(tf.constant(X), training=True)
    frozen = type(model)(**({"decay": 0.5} if layer == "average" else {}), freeze=["*"])
    layers.build(frozen, X)
    for ours, theirs in zip(frozen.variables, model.variables, strict=True):
        ours.assign(theirs)
    np.testing.assert_array_equal(
        frozen(tf.constant(X + 1), training=True), model(tf.constant(X + 1))
    )
    for ours, theirs in zip(frozen.variables, model.variables, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_what_they_learnt_stays_when_an_epoch_begins() -> None:
    model = layers.Stack([layers.MovingAverage(0.5), layers.RunningStatistics()])
    assert layers.carrying(model) == []
