"""Each operation against Pillow's, and how they are drawn."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from pipeline.data.augment import RandAugment
from pipeline.data.augment.geometry import resample
from pipeline.data.augment.randaugment import OPERATIONS, moves, operations, smooth, toned
from pipeline.data.draw import Draw

RANDOM = np.random.default_rng(0)
BYTES = RANDOM.integers(20, 200, [2, 12, 10, 3], np.uint8)
UNIT = BYTES / np.float32(255)
Enhance = Callable[[Image.Image], ImageEnhance._Enhance]
ENHANCED = {
    "brightness": ImageEnhance.Brightness,
    "contrast": ImageEnhance.Contrast,
    "colour": ImageEnhance.Color,
    "sharpness": ImageEnhance.Sharpness,
}


def each(change: Callable[[Image.Image], Image.Image]) -> np.ndarray:
    return np.stack([np.asarray(change(Image.fromarray(image))) for image in BYTES]) / 255


def tone(name: str, sign: float, strength: float) -> np.ndarray:
    kind = tf.fill([2], OPERATIONS.index(name))
    return toned(tf.constant(UNIT), kind, tf.fill([2], sign), strength).numpy()


@pytest.mark.parametrize("sign", [-1.0, 1.0])
@pytest.mark.parametrize("name", ENHANCED)
def test_factors_are_pillows(name: str, sign: float) -> None:
    found = tone(name, sign, 0.6)
    expected = each(lambda image: ENHANCED[name](image).enhance(1 + sign * 0.9 * 0.6))
    np.testing.assert_allclose(found, expected, atol=2.5 / 255)  # Pillow's whole numbers
    assert np.abs(found - UNIT).max() > 10 / 255


def test_smooth_is_pillows() -> None:
    expected = each(lambda image: image.filter(ImageFilter.SMOOTH))
    np.testing.assert_allclose(smooth(tf.constant(UNIT)), expected, atol=1.01 / 255)
    tiny = tf.constant(UNIT[:, :2])
    assert smooth(tiny) is tiny


@pytest.mark.parametrize("strength", [0.0, 0.3, 0.7, 1.0])
def test_thresholds_and_levels_are_pillows(strength: float) -> None:
    found = tone("solarize", 1.0, strength)
    expected = each(lambda image: ImageOps.solarize(image, 256 * (1 - strength)))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    bits = 8 - round(4 * strength)
    found = tone("posterize", -1.0, strength)
    np.testing.assert_allclose(found, each(lambda i: ImageOps.posterize(i, bits)), atol=1e-6)


@pytest.mark.parametrize("name", ["solarize", "posterize"])
def test_rounding_of_preprocessing_lifts_nothing_over_a_threshold(name: str) -> None:
    levels = np.arange(256, dtype=np.float32).reshape(1, 16, 16, 1) / np.float32(255)
    kind, sign = tf.constant([OPERATIONS.index(name)]), tf.ones([1])
    expected = toned(tf.constant(levels), kind, sign, 0.5)
    for other in (np.nextafter(levels, np.float32(0)), np.nextafter(levels, np.float32(1))):
        np.testing.assert_allclose(toned(tf.constant(other), kind, sign, 0.5), expected, atol=1e-6)


def test_auto_contrast_is_pillows_and_leaves_one_colour_alone() -> None:
    found = tone("auto_contrast", 1.0, 0.1)
    np.testing.assert_allclose(found, each(ImageOps.autocontrast), atol=1.01 / 255)
    one = tf.fill([2, 4, 4, 3], 0.3)
    same = toned(one, tf.fill([2], OPERATIONS.index("auto_contrast")), tf.ones([2]), 1.0)
    np.testing.assert_array_equal(same, one)


@pytest.mark.parametrize("name", ["identity", "rotate", "shear_x", "translate_y"])
def test_what_moves_pixels_leaves_colours(name: str) -> None:
    np.testing.assert_allclose(tone(name, 1.0, 1.0), UNIT, atol=1e-7)


def test_moves_are_those_named() -> None:
    names = ["identity", "rotate", "shear_x", "shear_y", "translate_x", "translate_y", "colour"]
    kinds = tf.constant([[OPERATIONS.index(name)] for name in names])
    found = moves(kinds, tf.fill([len(names), 1], -0.5), (20, 10)).numpy()
    sin, cos = math.sin(math.radians(-15)), math.cos(math.radians(-15))
    expected = [
        [[1, 0, 0], [0, 1, 0]],
        [[cos, -sin, 0], [sin, cos, 0]],
        [[1, 0, 0], [-0.15, 1, 0]],
        [[1, -0.15, 0], [0, 1, 0]],
        [[1, 0, 0], [0, 1, -2.25]],
        [[1, 0, -4.5], [0, 1, 0]],
        [[1, 0, 0], [0, 1, 0]],
    ]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_moves_in_turn_are_one_move() -> None:
    """A smooth picture moved three times, and once by all three together."""
    rows, columns = np.mgrid[:40, :40] / 40
    picture = tf.constant(np.sin(4 * rows + 2 * columns)[None, ..., None], tf.float32)
    kinds = tf.constant([[OPERATIONS.index(n) for n in ("rotate", "translate_x", "shear_y")]])
    amounts = tf.constant([[0.5, -0.2, 0.6]])
    moved = picture
    for turn in range(3):
        one = moves(kinds[:, turn : turn + 1], amounts[:, turn : turn + 1], (40, 40))
        moved = resample(moved, one[..., :2], one[..., 2], fill=0.0)
    once = moves(kinds, amounts, (40, 40))
    found = resample(picture, once[..., :2], once[..., 2], fill=0.0)
    middle = np.s_[:, 12:28, 12:28]
    np.testing.assert_allclose(found[middle], moved[middle], atol=5e-3)
    assert np.abs(found - picture)[middle].max() > 0.1


def test_operations_and_signs_are_drawn_evenly_for_each_image() -> None:
    """A picture of one grey, told by what became of it."""
    batch = 1300
    grey = tf.fill([batch, 4, 4, 3], 0.4)
    draw = Draw(tf.constant([0, 0], tf.int64), tf.range(batch), batch)
    found = RandAugment(1, 5)(grey, draw).numpy()[:, 1:3, 1:3].reshape(batch, -1)
    one = found.min(1) == found.max(1)
    shares = {
        "brighter": (one & np.isclose(found[:, 0], 0.4 * 1.45)).mean(),
        "darker": (one & np.isclose(found[:, 0], 0.4 * 0.55)).mean(),
        "posterized": (one & np.isclose(found[:, 0], 100 / 255)).mean(),
    }
    assert abs(shares["brighter"] - 1 / 26) < 0.02
    assert abs(shares["darker"] - 1 / 26) < 0.02
    assert abs(shares["posterized"] - 1 / 13) < 0.03
    assert len(operations(3)) == 13
    assert operations(1) == OPERATIONS[:-1]
    kinds = draw.named("operation").integers(13, (1,)).numpy().ravel()
    assert np.bincount(kinds).min() > 60  # 100 expected of each


def test_each_turn_follows_the_one_before() -> None:
    batch = 64
    x = tf.constant(RANDOM.random([batch, 8, 8, 3], np.float32))
    draw = Draw(tf.constant([0, 0], tf.int64), tf.range(batch), batch)
    found = RandAugment(2, 7)(x, draw)
    kinds = draw.named("operation").integers(13, (2,))
    signs = 2.0 * tf.cast(draw.named("sign").integers(2, (2,)), tf.float32) - 1.0
    move = moves(kinds, 0.7 * signs, (8, 8))
    expected = resample(x, move[..., :2], move[..., 2], fill=0.5)
    for turn in range(2):
        expected = toned(expected, kinds[:, turn], signs[:, turn], 0.7)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_more_magnitude_changes_more_and_none_little() -> None:
    draw = Draw(tf.constant([0, 0], tf.int64), tf.range(256), 256)
    x = tf.constant(RANDOM.random([256, 8, 8, 3], np.float32))
    change = [
        float(tf.reduce_mean(tf.abs(RandAugment(1, magnitude)(x, draw) - x)))
        for magnitude in (0, 3, 6, 10)
    ]
    assert change == sorted(change)
    assert change[0] < 0.01  # auto contrast has no magnitude
    assert change[3] > 0.1


def test_any_range_of_values_is_treated_alike() -> None:
    draw = Draw(tf.constant([0, 0], tf.int64), tf.range(2), 2)
    plain = RandAugment(3, 9)(tf.constant(UNIT), draw)
    wide = RandAugment(3, 9, low=-1, high=1)(tf.constant(UNIT * 2 - 1), draw)
    np.testing.assert_allclose(wide, plain * 2 - 1, atol=1e-4)
