"""Preprocessing is arithmetic in float32, alike inside and outside a graph."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from omegaconf import OmegaConf

from pipeline.data.preprocess import Scale, Standardize, chain

IMAGES = np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3)  # NumPy: importing starts no device


def test_scale_multiplies_then_adds_in_float32() -> None:
    y = Scale(0.5, offset=-1.0)(IMAGES)
    assert y.dtype == tf.float32
    np.testing.assert_array_equal(y, np.arange(24).reshape(2, 2, 2, 3) * 0.5 - 1)


def test_standardize_works_channel_by_channel() -> None:
    y = Standardize(mean=[0, 1, 2], std=[1, 2, 4])(IMAGES)
    assert y.dtype == tf.float32
    np.testing.assert_array_equal(y[0, 0, 1], [3.0, 1.5, 0.75])


def test_standardize_refuses_wrong_channels_and_deviations() -> None:
    with pytest.raises(ValueError, match="mean has 2 values and std 1"):
        Standardize([0, 0], [1])
    with pytest.raises(ValueError, match="above 0"):
        Standardize([0], [0])
    with pytest.raises(ValueError, match="has 2 channels, but its input has 3"):
        Standardize([0, 0], [1, 1])(IMAGES)


def test_constructors_turn_hydra_containers_into_lists() -> None:
    config = OmegaConf.create({"mean": [0, 1, 2], "std": [1, 2, 4]})
    made = Standardize(config.mean, config.std)
    assert type(made.mean) is list
    assert repr(made) == "Standardize(mean=[0.0, 1.0, 2.0], std=[1.0, 2.0, 4.0])"
    assert repr(Scale(0.0625)) == "Scale(factor=0.0625, offset=0.0)"


def test_chain_applies_in_order_and_the_same_in_a_graph() -> None:
    steps = {"scale": Scale(2.0), "shift": Scale(1.0, offset=1.0)}
    np.testing.assert_array_equal(chain(steps)(IMAGES), 2.0 * IMAGES + 1)
    np.testing.assert_array_equal(
        chain(dict(reversed(steps.items())))(IMAGES), 2.0 * (IMAGES + 1.0)
    )
    np.testing.assert_array_equal(tf.function(chain(steps))(IMAGES), chain(steps)(IMAGES))


@pytest.mark.parametrize("nothing", [None, {}])
def test_empty_chain_makes_integers_float_and_leaves_floats(nothing: dict | None) -> None:
    assert chain(nothing)(tf.constant(IMAGES)).dtype == tf.float32
    half = tf.constant([1.0], tf.float16)
    assert chain(nothing)(half).dtype == tf.float16
