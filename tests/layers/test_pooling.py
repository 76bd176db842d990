"""Global pooling over the positions that a mask counts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

import layers

MASK = np.array([[1, 1, 1], [1, 1, 0], [0, 1, 0], [0, 0, 0]], bool)
RESULTS = {
    layers.GlobalAvgPool1D: [[4, -5], [2, -3], [3, -2], [0, 0]],
    layers.GlobalMaxPool1D: [[8, -2], [3, -2], [3, -2], [0, 0]],
}


def _inputs(elsewhere: float | None = None) -> tuple[tf.Tensor, tf.Tensor]:
    """Four times the same example, each with its own mask; ``elsewhere``: what is masked out."""
    x = np.array([[[1, -4], [3, -2], [8, -9]]] * 4, np.float32)
    if elsewhere is not None:
        x[~MASK] = elsewhere
    return tf.constant(x), tf.constant(MASK)


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("kind", RESULTS)
def test_only_positions_that_count_are_pooled(
    kind: Callable[..., layers.Layer], dtype: str
) -> None:
    x, mask = _inputs()
    y = kind(compute_dtype=dtype)(x, mask=mask)
    assert y.dtype == dtype
    np.testing.assert_array_equal(tf.cast(y, tf.float32), RESULTS[kind])


@pytest.mark.parametrize("elsewhere", [np.nan, np.inf, 100.0])
@pytest.mark.parametrize("kind", RESULTS)
def test_what_does_not_count_has_no_effect(
    kind: Callable[..., layers.Layer], elsewhere: float
) -> None:
    x, mask = _inputs(elsewhere)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = kind()(x, mask=mask)
        loss = tf.reduce_sum(y)
    np.testing.assert_array_equal(y, RESULTS[kind])
    gradient = tape.gradient(loss, x).numpy()
    np.testing.assert_array_equal(gradient[~MASK], 0)
    # The shares of an example sum to one, and to nothing where no position counts.
    np.testing.assert_allclose(gradient.sum(1), [[1, 1], [1, 1], [1, 1], [0, 0]], rtol=1e-6)


@pytest.mark.parametrize("kind", RESULTS)
def test_a_full_mask_is_no_mask(kind: Callable[..., layers.Layer]) -> None:
    x, mask = _inputs()
    np.testing.assert_array_equal(kind()(x, mask=tf.ones_like(mask)), kind()(x))


@pytest.mark.parametrize("kind", RESULTS)
def test_a_stack_hands_its_mask_on(kind: Callable[..., layers.Layer]) -> None:
    x, mask = _inputs()
    np.testing.assert_array_equal(layers.Stack({"pool": kind()})(x, mask=mask), RESULTS[kind])


@pytest.mark.parametrize("kind", RESULTS)
def test_masks_may_be_empty(kind: Callable[..., layers.Layer]) -> None:
    no_examples = kind()(tf.zeros([0, 3, 2]), mask=tf.zeros([0, 3], tf.bool))
    assert no_examples.shape == [0, 2]
    no_time = kind()(tf.zeros([2, 0, 2]), mask=tf.zeros([2, 0], tf.bool))
    np.testing.assert_array_equal(no_time, np.zeros([2, 2]))
