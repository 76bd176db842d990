"""Two layers of one weight: Bias and PReLU."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import layers

X = np.array([[[-2.0, 1.0], [0.0, -4.0]]], np.float32)


def test_bias_adds_one_value_a_feature() -> None:
    layer = layers.Bias(layers.initializers.constant(0.5))
    np.testing.assert_array_equal(layer(tf.constant(X)), X + 0.5)
    layer.b.assign([1.0, 2.0])
    np.testing.assert_array_equal(layer(tf.constant(X)), X + [1.0, 2.0])
    with pytest.raises(layers.LayerError, match="was built for a last axis of 2, got"):
        layer(tf.zeros([3, 1]))


def test_prelu_begins_with_a_quarter() -> None:
    np.testing.assert_array_equal(layers.PReLU()(tf.constant(X)), [[[-0.5, 1.0], [0.0, -1.0]]])


def test_prelu_shares_alpha_along_the_axes_it_is_told() -> None:
    layer = layers.PReLU(shared_axes=[1])
    layers.build(layer, tf.TensorSpec([None, None, 2]))
    assert layer.alpha.shape == [1, 2]
    layer.alpha.assign([[0.1, 0.5]])
    np.testing.assert_allclose(layer(tf.constant(X)), [[[-0.2, 1.0], [0.0, -2.0]]], rtol=1e-6)
    with pytest.raises(layers.LayerError) as error:
        layer(tf.zeros([1, 3, 1]))
    assert str(error.value) == ("PReLU: was built for [None, None, 2], got [1, 3, 1] float32")


def test_identity_and_permute_keep_dtype_and_values() -> None:
    images = np.arange(24, dtype=np.uint8).reshape([1, 2, 3, 4])
    assert layers.Identity()(tf.constant(images)).dtype == tf.uint8
    y = layers.Permute([3, 1, 2])(tf.constant(images))
    assert y.dtype == tf.uint8
    np.testing.assert_array_equal(y, images.transpose([0, 3, 1, 2]))
