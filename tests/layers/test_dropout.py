"""Dropout's masks: how many values, which, and on what they depend."""

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


def test_evaluation_passes_everything() -> None:
    np.testing.assert_array_equal(layers.Dropout(0.9)(ONES), ONES)


def test_rate_zero_draws_nothing() -> None:
    np.testing.assert_array_equal(layers.Dropout(0)(ONES, training=True), ONES)


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
