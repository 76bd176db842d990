"""What is dropped or added at random: how much, which values, and on what it depends."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import layers

ONES = np.ones([64, 100], np.float32)


def _mask(layer: layers.Layer, seed: int = 0, step: int = 0, **where: int) -> np.ndarray:
    with layers.training_step(seed=seed, step=step, **where):
        return layer(ONES, training=True).numpy() != 0


def test_rate_and_scale() -> None:
    with layers.training_step(seed=0, step=0):
        y = layers.Dropout(0.3)(ONES, training=True).numpy()
    np.testing.assert_allclose(np.unique(y), [0.0, 1 / 0.7], rtol=1e-6)
    assert (y == 0).mean() == pytest.approx(0.3, abs=0.02)  # 3.5 deviations


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_rate_holds_in_short_floats(dtype: str) -> None:
    layer = layers.Dropout(0.001, compute_dtype=dtype)
    with layers.training_step(seed=0, step=0):
        y = layer(tf.ones([400, 1000]), training=True)
    dropped = np.mean(tf.cast(y, tf.float32).numpy() == 0)
    assert dropped == pytest.approx(0.001, rel=0.2)  # 4 deviations


@pytest.mark.parametrize(
    "layer", [layers.Dropout, layers.DropPath, layers.SpatialDropout, layers.GaussianNoise]
)
def test_evaluation_and_zero_change_nothing(layer: type[layers.Layer]) -> None:
    images = tf.reshape(ONES, [64, 5, 4, 5])
    np.testing.assert_array_equal(layer(0.9)(images), images)
    np.testing.assert_array_equal(layer(0)(images, training=True), images)


@pytest.mark.parametrize("places", [[5], [5, 3], [2, 3, 4]])
def test_spatial_dropout_drops_whole_channels(places: list[int]) -> None:
    x = np.random.default_rng(0).uniform(1, 2, [50, *places, 40]).astype(np.float32)
    with layers.training_step(seed=0, step=0):
        y = layers.SpatialDropout(0.3)(tf.constant(x), training=True).numpy()
    kept = (y != 0).reshape([50, -1, 40])
    np.testing.assert_array_equal(kept.all(1), kept.any(1))
    assert 1 - kept.mean() == pytest.approx(0.3, abs=0.035)  # 2,000 channels: 3.4 deviations
    assert 0 < kept.all(1)[0].sum() < 40  # each example drops others
    np.testing.assert_allclose(y[y != 0], x[y != 0] / 0.7, rtol=1e-6)


def test_drop_path_drops_whole_examples() -> None:
    x = np.random.default_rng(0).uniform(1, 2, [2000, 3, 2]).astype(np.float32)
    with layers.training_step(seed=0, step=0):
        y = layers.DropPath(0.3)(tf.constant(x), training=True).numpy()
    kept = (y != 0).reshape([2000, -1])
    np.testing.assert_array_equal(kept.all(1), kept.any(1))
    assert 1 - kept.mean() == pytest.approx(0.3, abs=0.035)
    np.testing.assert_allclose(y[y != 0], x[y != 0] / 0.7, rtol=1e-6)
    assert y.mean() == pytest.approx(x.mean(), abs=0.075)  # 3.4 deviations


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_gaussian_noise_has_its_deviation_and_no_mean(dtype: str) -> None:
    with layers.training_step(seed=0, step=0):
        y = layers.GaussianNoise(0.5, compute_dtype=dtype)(0 * ONES, training=True)
    noise = tf.cast(y, tf.float32).numpy()
    assert y.dtype == dtype
    assert noise.std() == pytest.approx(0.5, rel=0.03)  # 6,400 values: 3.4 deviations
    assert abs(noise.mean()) < 4 * 0.5 / 80
    assert np.abs(noise).max() > 3 * 0.5  # not cut off


def test_a_layer_that_is_used_twice_drops_others_each_time() -> None:
    shared = layers.Dropout(0.5)
    with layers.training_step(seed=0, step=0):
        first, second = (shared(ONES, training=True) != 0 for _ in range(2))
    assert np.mean(first == second) == pytest.approx(0.5, abs=0.03)


def test_masks_repeat_and_differ_by_seed_step_replica_microbatch_and_path() -> None:
    model = layers.Stack({"a": layers.Dropout(0.5), "b": layers.Dropout(0.5)})
    layers.build(model, ONES)
    first = _mask(model["a"])
    np.testing.assert_array_equal(_mask(model["a"]), first)
    others = [
        _mask(model["b"]),
        _mask(model["a"], seed=1),
        _mask(model["a"], step=1),
        _mask(model["a"], replica=1),
        _mask(model["a"], microbatch=1),
        _mask(model["a"], microbatch=5),
        _mask(model["a"], replica=3, microbatch=7),
    ]
    for other in others:  # independent masks agree in half of the places
        assert np.mean(first == other) == pytest.approx(0.5, abs=0.03)


def test_step_and_replica_may_be_tensors() -> None:
    layer = layers.Dropout(0.5)

    @tf.function(autograph=False)
    def mask(step: tf.Tensor, replica: tf.Tensor, microbatch: tf.Tensor) -> tf.Tensor:
        with layers.training_step(seed=0, step=step, replica=replica, microbatch=microbatch):
            return layer(ONES, training=True)

    given = mask(tf.constant(3, tf.int64), tf.constant(1), tf.constant(2))
    np.testing.assert_array_equal(given != 0, _mask(layer, step=3, replica=1, microbatch=2))


def test_outside_a_training_step_it_says_what_to_do() -> None:
    model = layers.Stack({"drop": layers.Dropout(0.5)})
    with pytest.raises(layers.LayerError) as error:
        model(ONES, training=True)
    assert str(error.value) == (
        "drop (Dropout): draws random numbers in training and must know the step; call the model "
        "inside `with layers.training_step(seed=…, step=…):`"
    )


@pytest.mark.parametrize(
    "layer", [layers.Dropout(0.3), layers.GaussianNoise(1.0)], ids=["dropout", "noise"]
)
def test_xla_draws_the_same(layer: layers.Layer) -> None:
    def once(x: tf.Tensor) -> tf.Tensor:
        with layers.training_step(seed=3, step=5):
            return layer(x, training=True)

    x = tf.ones([64, 32])
    eager = once(x).numpy()
    compiled = tf.function(once, jit_compile=True)(x).numpy()
    np.testing.assert_allclose(compiled, eager, rtol=1e-5, atol=1e-5)
