"""Positions: the numbers of the papers, and what they must not do."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import layers
from layers.positions import rotate


@pytest.mark.parametrize("features", [4, 5])
def test_sinusoids_are_those_of_the_paper(features: int) -> None:
    y = layers.SinusoidalPositions()(tf.ones([2, 7, features])).numpy()
    expected = np.empty((7, features))
    for t in range(7):
        for i in range(features):
            angle = t / 10000.0 ** ((i // 2 * 2) / features)
            expected[t, i] = np.sin(angle) if i % 2 == 0 else np.cos(angle)
    np.testing.assert_allclose(y, 1 + np.stack([expected] * 2), atol=1e-6)


def test_learned_rows_are_added_in_order() -> None:
    layer = layers.LearnedPositions(6)
    x = tf.constant(np.random.default_rng(0).normal(size=(2, 4, 3)), tf.float32)
    y = layer(x)
    assert layer.table.shape == (6, 3)
    assert np.unique(layer.table.numpy()).size == 18
    np.testing.assert_allclose(y - x, np.stack([layer.table.numpy()[:4]] * 2), atol=1e-6)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("length", [1, 3])
def test_too_long_a_sequence_fails_also_where_its_length_is_not_known(
    length: int, compiled: bool
) -> None:
    layer = layers.LearnedPositions(length)
    layers.build(layer, tf.TensorSpec([None, None, 2]))
    run = tf.function(
        layer,
        input_signature=[tf.TensorSpec([None, None, 2])],
        autograph=False,
        jit_compile=compiled,
    )
    x = tf.zeros([2, length, 2])
    np.testing.assert_allclose(run(x), layer(x))
    with pytest.raises(tf.errors.InvalidArgumentError):
        run(tf.zeros([2, length + 2, 2]))


def test_rotation_turns_the_pairs_of_both_halves() -> None:
    """As complex numbers, first half + i * second half, times exp(i * angle)."""
    x = np.random.default_rng(0).normal(size=(2, 5, 3, 8))
    positions = np.array([0, 1, 7, 100, 5000])
    angles = positions[:, None] / 500.0 ** (np.arange(4) / 4)
    turned = (x[..., :4] + 1j * x[..., 4:]) * np.exp(1j * angles)[:, None]
    y = rotate(tf.constant(x), tf.constant(positions), base=500.0)
    np.testing.assert_allclose(y, np.concatenate([turned.real, turned.imag], -1), atol=1e-10)
    norms = [np.linalg.norm(part, axis=-1) for part in (x, y)]
    np.testing.assert_allclose(*norms, rtol=1e-12)
    in_float32 = rotate(tf.constant(x, tf.float32), tf.constant(positions), base=500.0)
    np.testing.assert_allclose(in_float32, y, atol=2e-3)  # of an angle of 5000 radians


def test_products_of_turned_vectors_depend_on_the_distance_alone() -> None:
    query, key = np.random.default_rng(0).normal(size=(2, 1, 1, 1, 6))

    def product(at: int, other: int) -> float:
        a, b = rotate(tf.constant(query), [at]), rotate(tf.constant(key), [other])
        return float(tf.reduce_sum(a * b))

    for shift in (1, 50, 3000):
        assert product(9 + shift, 4 + shift) == pytest.approx(product(9, 4), abs=1e-9)
    assert abs(product(9, 4) - product(4, 9)) > 1e-2


def test_rotation_in_bfloat16_takes_its_angles_in_float32() -> None:
    x = np.random.default_rng(0).normal(size=(1, 1, 8))
    y = rotate(tf.constant(x, tf.bfloat16), [1001])  # bfloat16 has no 1001
    assert y.dtype == tf.bfloat16
    np.testing.assert_allclose(tf.cast(y, tf.float64), rotate(tf.constant(x), [1001]), atol=0.03)
