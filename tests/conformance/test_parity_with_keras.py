"""Outputs and gradients are those of the Keras 3 layers with the same weights."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from declared import PARITY
from declared.kinds import Parity

import layers


@pytest.mark.parametrize("pair", PARITY, ids=str)
def test_outputs_and_gradients_equal_keras(pair: Parity) -> None:
    ours, theirs = pair.ours(), pair.theirs()
    random = np.random.default_rng(0)
    shape = [3, *pair.inputs.shape[1:]]
    x = tf.constant(random.normal(1, 2, shape), tf.float32)
    layers.build(ours, x)
    theirs.build(shape)
    weights = [ours.named_variables()[path] for path in pair.weights]
    assert len(weights) == len(ours.trainable_variables) == len(theirs.trainable_variables)
    for our, their in zip(weights, theirs.trainable_variables, strict=True):
        value = random.uniform(0.5, 1.5, our.shape)
        our.assign(value)
        their.assign(value)

    y, gradients = _run(ours, x, weights)
    expected_y, expected = _run(theirs, x, [v.value for v in theirs.trainable_variables])
    np.testing.assert_allclose(y, expected_y, rtol=1e-5, atol=1e-5)
    for gradient, other in zip(gradients, expected, strict=True):
        # Sums over the batch: their size is the scale that rounding is measured by.
        tolerance = 1e-5 * max(1.0, float(np.abs(other).max()))
        np.testing.assert_allclose(gradient, other, rtol=1e-5, atol=tolerance)
    np.testing.assert_allclose(
        ours(x, training=False), theirs(x, training=False), rtol=1e-5, atol=1e-5
    )


def _run(layer: Any, x: tf.Tensor, weights: list[Any]) -> tuple[tf.Tensor, list[np.ndarray]]:
    with tf.GradientTape() as tape:
        tape.watch([x, *weights])
        y = layer(x, training=True)
        loss = tf.reduce_sum(
            y**2 * tf.cos(tf.reshape(tf.range(tf.size(y), dtype=y.dtype), y.shape))
        )
    return y, [g.numpy() for g in tape.gradient(loss, [x, *weights])]


def test_batch_norm_moves_its_statistics_as_keras() -> None:
    ours, theirs = layers.BatchNorm(momentum=0.8), keras.layers.BatchNormalization(momentum=0.8)
    for seed in range(3):
        x = tf.constant(np.random.default_rng(seed).normal(3, 2, (8, 4)), tf.float32)
        ours(x, training=True)
        theirs(x, training=True)
    np.testing.assert_allclose(ours.moving_mean, theirs.moving_mean, rtol=1e-5)
    np.testing.assert_allclose(ours.moving_variance, theirs.moving_variance, rtol=1e-5)


def test_embedding_equals_keras_with_repeated_tokens() -> None:
    ours, theirs = layers.Embedding(5, 3), keras.layers.Embedding(5, 3)
    tokens = tf.constant([[0, 2, 2], [2, 0, 4]])
    layers.build(ours, tokens)
    theirs.build(tokens.shape)
    theirs.embeddings.assign(ours.table)
    with tf.GradientTape(persistent=True) as tape:
        y, expected = ours(tokens, training=True), theirs(tokens)
        loss, other = tf.reduce_sum(y**2), tf.reduce_sum(expected**2)
    np.testing.assert_array_equal(y, expected)
    gradient = tape.gradient(loss, ours.table)
    assert isinstance(gradient, tf.Tensor)
    dense = tf.convert_to_tensor(tape.gradient(other, theirs.embeddings.value))
    np.testing.assert_allclose(gradient, dense, rtol=1e-6)


@pytest.mark.parametrize(
    "name",
    ["linear", "relu", "gelu", "silu", "elu", "leaky_relu", "softmax", "tanh", "sigmoid", "mish"],
)
def test_activations_equal_keras(name: str) -> None:
    x = tf.constant(np.random.default_rng(0).normal(0, 3, (4, 5)), tf.float32)
    expected = keras.activations.get(name)(x)
    y = layers.Activation(name)(x)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)
