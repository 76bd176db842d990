"""Normalisation example by example: the formulas, in numpy and float64."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import layers

IMAGES = np.random.default_rng(0).normal(3, 2, (2, 5, 4, 6)).astype(np.float32)


def _standardised(x: np.ndarray, axes: tuple[int, ...], epsilon: float = 1e-5) -> np.ndarray:
    x = x.astype(np.float64)
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + epsilon)


def test_instance_norm_takes_each_channel_of_each_example_alone() -> None:
    layer = layers.InstanceNorm()
    layers.build(layer, IMAGES)
    layer.scale.assign(tf.range(6.0))
    layer.offset.assign(tf.range(6.0) + 1)
    expected = _standardised(IMAGES, (1, 2)) * np.arange(6) + np.arange(6) + 1
    np.testing.assert_allclose(layer(tf.constant(IMAGES)), expected, rtol=1e-5, atol=1e-5)


def test_groups_are_neighbouring_channels() -> None:
    groups = [_standardised(IMAGES[..., i : i + 2], (1, 2, 3)) for i in (0, 2, 4)]
    np.testing.assert_allclose(
        layers.GroupNorm(3)(tf.constant(IMAGES)), np.concatenate(groups, -1), rtol=1e-5, atol=1e-5
    )


def test_one_group_is_layer_norm_over_all_axes() -> None:
    x, every = tf.constant(IMAGES), layers.LayerNorm([1, 2, 3])
    np.testing.assert_allclose(layers.GroupNorm(1)(x), every(x), rtol=1e-5, atol=1e-5)


def test_group_norm_takes_images_of_unknown_size() -> None:
    layer = layers.GroupNorm(2)
    spec = tf.TensorSpec([None, None, None, 6])
    assert layers.build(layer, spec).shape.as_list() == [None, None, None, 6]
    traced = tf.function(layer, input_signature=[spec], autograph=False)
    for x in (IMAGES, IMAGES[:, :3, :1], IMAGES[:0]):
        np.testing.assert_allclose(traced(x), layer(tf.constant(x)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "layer", [layers.GroupNorm(2), layers.InstanceNorm(), layers.LayerNorm([1, 2, 3])]
)
def test_small_variance_beside_a_large_mean_keeps_its_digits(layer: layers.Layer) -> None:
    x = (1000 + 0.1 * IMAGES).astype(np.float32)
    y = layer(tf.constant(x)).numpy()
    axes = (1, 2, 3) if isinstance(layer, layers.LayerNorm) else (1, 2)
    if type(layer) is layers.GroupNorm:
        expected = np.concatenate([_standardised(x[..., i : i + 3], (1, 2, 3)) for i in (0, 3)], -1)
    else:
        expected = _standardised(x, axes)
    # A mean that is right to 6 float32 steps at 1000 is 4e-4 / 0.2 off here.
    np.testing.assert_allclose(y, expected, atol=2e-3)


@pytest.mark.parametrize("layer", [layers.GroupNorm, layers.RMSNorm])
def test_statistics_are_float32_when_computing_in_bfloat16(layer: type[layers.Layer]) -> None:
    arguments = {"groups": 2} if layer is layers.GroupNorm else {}
    x = tf.constant(100 + IMAGES)
    y = layer(**arguments, compute_dtype="bfloat16")(x)
    assert y.dtype == tf.bfloat16
    exact = layer(**arguments)(x)
    # Rounded once, at the end: bfloat16 has 8 bits.
    np.testing.assert_allclose(tf.cast(y, tf.float32), exact, rtol=2**-8, atol=1e-6)


def test_rms_norm_leaves_the_mean_in() -> None:
    x = IMAGES.astype(np.float64)
    layer = layers.RMSNorm(axis=[1, 2], epsilon=0.5)
    expected = x / np.sqrt((x**2).mean((1, 2), keepdims=True) + 0.5)
    np.testing.assert_allclose(layer(tf.constant(IMAGES)), expected, rtol=1e-5)
    assert layer.scale.shape == [5, 4]


def test_another_size_than_it_was_built_for_is_an_error() -> None:
    layer = layers.LayerNorm()
    layers.build(layer, tf.TensorSpec([None, 4]))
    with pytest.raises(layers.LayerError) as error:
        layer(tf.zeros([2, 1]))
    assert str(error.value) == (
        "LayerNorm: was built for a size of 4 in axis 1, got [2, 1] float32"
    )
