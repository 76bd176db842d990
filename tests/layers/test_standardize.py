"""Standardize: statistics of the training data, exact however it is cut, then fixed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import layers

RANDOM = np.random.default_rng(0)
ROWS = (RANDOM.normal(size=(50, 4)) * [1, 1e-4, 1e3, 5] + [0, 1, 1e6, -3]).astype(np.float32)


def _cut(x: np.ndarray, *ends: int) -> Callable[[], Iterator[np.ndarray]]:
    return lambda: iter(np.split(x, list(ends)))


def _variables(layer: Any) -> tuple[np.ndarray, np.ndarray]:
    return layer.mean.numpy(), layer.variance.numpy()


def test_statistics_are_those_of_numpy_over_all_data() -> None:
    layer = layers.Standardize(compute_dtype="float64")
    layers.adapt(layer, _cut(ROWS, 7, 20, 20, 49))
    exact = ROWS.astype(np.float64)
    np.testing.assert_allclose(layer.mean, exact.mean(0), rtol=1e-13)
    np.testing.assert_allclose(layer.variance, exact.var(0), rtol=1e-12)
    y = layer(tf.constant(exact)).numpy()
    np.testing.assert_allclose(y.mean(0), 0, atol=1e-8)  # 1e6 beside a deviation of 1e3
    np.testing.assert_allclose(y.std(0), 1, rtol=1e-3)  # epsilon shows at a deviation of 1e-4


def test_how_the_data_is_cut_makes_no_difference() -> None:
    results = []
    for ends in ((), range(1, 50), (0, 49), (13, 26, 39)):
        layer = layers.Standardize(compute_dtype="float64")
        layers.adapt(layer, _cut(ROWS, *ends))
        results.append(_variables(layer))
    for mean, variance in results[1:]:
        np.testing.assert_allclose(mean, results[0][0], rtol=1e-13)
        np.testing.assert_allclose(variance, results[0][1], rtol=1e-12)


@pytest.mark.parametrize(
    ("axis", "reduced"), [(-1, (0, 1, 2)), ([1, 2, 3], (0,)), (None, None), ([3, 1], (0, 2))]
)
def test_axis_says_what_has_statistics_of_its_own(axis: Any, reduced: Any) -> None:
    images = RANDOM.integers(256, size=(9, 3, 2, 4)).astype(np.uint8)
    layer = layers.Standardize(axis)
    layers.adapt(layer, _cut(images, 2, 6))
    x = images.astype(np.float64)
    mean, deviation = x.mean(reduced, keepdims=True), x.std(reduced, keepdims=True)
    np.testing.assert_allclose(np.ravel(layer.mean), np.ravel(mean), rtol=1e-6)
    np.testing.assert_allclose(
        layer(tf.constant(images)), (x - mean) / deviation, rtol=1e-4, atol=1e-5
    )


def test_before_it_is_adapted_it_is_the_identity() -> None:
    np.testing.assert_array_equal(layers.Standardize()(tf.constant(ROWS)), ROWS)


def test_training_leaves_it_alone() -> None:
    layer = layers.Standardize()
    layers.adapt(layer, _cut(ROWS))
    before, x = _variables(layer), tf.constant(ROWS + 1)
    np.testing.assert_array_equal(layer(x, training=True), layer(x))
    np.testing.assert_array_equal(_variables(layer), before)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6 + 0.3])
def test_a_feature_of_one_value_gives_zero_also_for_other_values(value: float) -> None:
    x = np.stack([np.full(70, value), np.arange(70)], -1)  # float64, whose sums round
    layer = layers.Standardize(compute_dtype="float64")
    layers.adapt(layer, _cut(x, 3, 30))
    assert layer.variance.numpy()[0] == 0.0
    np.testing.assert_array_equal(layer(tf.constant(x + 5))[:, 0], np.zeros(70))
    np.testing.assert_allclose(layer(tf.constant(x))[:, 1].numpy().std(), 1.0, rtol=1e-5)


def _two() -> tuple[layers.Stack, layers.Standardize, layers.Standardize]:
    first, second = layers.Standardize(), layers.Standardize()
    model = layers.Stack(
        {"first": first, "hidden": layers.Dense(3, "relu"), "norms": layers.Stack([second])}
    )
    layers.build(model, tf.TensorSpec([None, 4]), seed=1)
    return model, first, second


@pytest.mark.parametrize("replicas", [1, 2])
def test_the_second_sees_what_the_first_has_standardised(
    strategy_of: Callable[[int], Any], replicas: int
) -> None:
    strategy = strategy_of(replicas)
    passes = []

    def batches() -> Iterator[np.ndarray]:
        passes.append(len(passes))
        return _cut(ROWS, 20, 33)()

    with strategy.scope():
        model, first, second = _two()
        assert layers.adapting(model) == [first, second]
        layers.adapt(model, batches)
    assert passes == [0, 1]
    x = ROWS.astype(np.float64)
    expected = (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-12)
    hidden = np.maximum(expected @ model["hidden"].w.numpy(), 0)
    np.testing.assert_allclose(second.mean, hidden.mean(0), rtol=1e-4)
    np.testing.assert_allclose(second.variance, hidden.var(0), rtol=1e-3)
    np.testing.assert_allclose(model(tf.constant(ROWS)).numpy().std(0), 1, rtol=1e-4)
    for variable in (first.mean, first.variance, second.mean, second.variance):
        copies = strategy.experimental_local_results(variable)
        assert len(copies) == replicas
        for copy in copies:
            np.testing.assert_array_equal(copy, variable.numpy())


def test_a_model_without_standardize_reads_no_data() -> None:
    def batches() -> Iterator[Any]:
        raise AssertionError("was read")

    model = layers.Dense(2)
    layers.build(model, ROWS)
    assert layers.adapting(model) == []
    layers.adapt(model, batches)


def test_frozen_statistics_are_kept() -> None:
    model = layers.Stack({"a": layers.Standardize(), "b": layers.Standardize()}, freeze=["a/*"])
    layers.build(model, ROWS)
    assert layers.adapting(model) == [model["b"]]
    layers.adapt(model, _cut(ROWS))
    np.testing.assert_array_equal(model["a"].mean, [0, 0, 0, 0])
    np.testing.assert_allclose(model["b"].mean, ROWS.mean(0, np.float64), rtol=1e-6)


def test_no_example_and_values_that_are_not_finite_are_errors() -> None:
    model = layers.Stack({"scale": layers.Standardize()})
    layers.build(model, ROWS)
    with pytest.raises(layers.LayerError) as error:
        layers.adapt(model, lambda: [ROWS[:0]])
    assert str(error.value) == (
        "scale (Standardize): was given no example to take its statistics from"
    )
    wrong = ROWS.copy()
    wrong[3, 2], wrong[9, 0] = np.nan, np.inf
    with pytest.raises(layers.LayerError) as error:
        layers.adapt(model, _cut(wrong, 5))
    assert str(error.value) == (
        "scale (Standardize): its input has values that are not finite, in the features 0, 2"
    )
    np.testing.assert_array_equal(model(tf.constant(ROWS)), ROWS)  # still the identity
