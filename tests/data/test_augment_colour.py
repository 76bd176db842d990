"""What pixels say afterwards, in any range of values."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from omegaconf import OmegaConf
from PIL import Image

from pipeline.data.augment import Colour
from pipeline.data.augment.colour import grey
from pipeline.data.draw import Draw

RANDOM = np.random.default_rng(0)
BATCH = 100
IMAGES = RANDOM.uniform(0.3, 0.6, [BATCH, 6, 5, 3]).astype(np.float32)


def run(step, x: np.ndarray = IMAGES) -> np.ndarray:
    draw = Draw(tf.constant([0, 0], tf.int64), tf.range(len(x)), len(x))
    return step(tf.constant(x, tf.float32), draw).numpy()


def factors(changed: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """One an image: how many times what was kept of it is what became of that."""
    ratio = (changed / kept).reshape(BATCH, -1)
    np.testing.assert_allclose(ratio, ratio[:, :1].repeat(ratio.shape[1], 1), rtol=2e-3)
    return np.median(ratio, 1)


def test_brightness_is_a_factor_of_each_image() -> None:
    found = factors(run(Colour(brightness=0.5)), IMAGES)
    assert found.min() < 0.55
    assert found.max() > 1.45
    assert abs(found.mean() - 1) < 0.1


def test_contrast_is_a_factor_about_the_mean_grey() -> None:
    mean = (IMAGES @ np.float32([0.299, 0.587, 0.114])).mean((1, 2))[:, None, None, None]
    changed, kept = run(Colour(contrast=0.5)) - mean, IMAGES - mean
    furthest = np.abs(kept).reshape(BATCH, -1).argmax(1)[:, None]
    found = np.divide(
        *(np.take_along_axis(x.reshape(BATCH, -1), furthest, 1)[:, 0] for x in (changed, kept))
    )
    for i, factor in enumerate(found):
        np.testing.assert_allclose(changed[i], kept[i] * factor, atol=1e-4)
    assert found.min() < 0.55
    assert found.max() > 1.45


def test_brightness_and_contrast_are_drawn_apart() -> None:
    one = IMAGES[..., :1]
    found = run(Colour(brightness=0.3, contrast=0.3), one)
    brightness = found.mean((1, 2, 3)) / one.mean((1, 2, 3))  # contrast leaves the mean
    contrast = found.std((1, 2, 3)) / one.std((1, 2, 3)) / brightness
    assert brightness.std() > 0.1
    assert contrast.std() > 0.1
    assert abs(np.corrcoef(brightness, contrast)[0, 1]) < 0.3


def test_saturation_is_a_factor_about_the_pixels_grey() -> None:
    changed = run(Colour(saturation=0.8))
    np.testing.assert_allclose(grey(changed), grey(IMAGES), atol=1e-5)
    plain = grey(IMAGES).numpy()
    spread, before = np.ptp(changed, -1), np.ptp(IMAGES, -1)
    found = factors(spread, before)
    np.testing.assert_allclose(
        changed, plain + found[:, None, None, None] * (IMAGES - plain), atol=1e-4
    )
    assert found.min() < 0.3
    assert found.max() > 1.7


def test_grey_is_pillows() -> None:
    image = RANDOM.integers(0, 256, [6, 5, 3], np.uint8)
    found = grey(tf.constant(image[None] / np.float32(255)))[0, ..., 0]
    np.testing.assert_allclose(
        found, np.asarray(Image.fromarray(image).convert("L")) / 255, atol=3e-3
    )
    one = IMAGES[..., :1]
    np.testing.assert_array_equal(grey(tf.constant(one)), one)


def test_nothing_leaves_the_range() -> None:
    for step in (Colour(brightness=1), Colour(contrast=1), Colour(saturation=1)):
        found = run(step, np.concatenate([IMAGES[:50] - 0.3, IMAGES[50:] + 0.4]))
        assert found.min() >= 0.0, step
        assert found.max() == 1.0, step  # and what would be beyond is cut off


def test_any_range_of_values_is_treated_alike() -> None:
    plain = run(Colour(0.9, 0.9, 0.9))
    bytes_ = run(Colour(0.9, 0.9, 0.9, low=0, high=255), IMAGES * 255)
    np.testing.assert_allclose(bytes_, plain * 255, atol=1e-2)
    mean, std = np.float32([0.4, 0.5, 0.6]), np.float32([0.2, 0.3, 0.4])
    ends = {"low": list(-mean / std), "high": list((1 - mean) / std)}
    standardized = run(Colour(0.9, 0.9, 0.9, **ends), (IMAGES - mean) / std)
    np.testing.assert_allclose(standardized, (plain - mean) / std, atol=1e-4)


def test_hydras_lists_are_taken() -> None:
    ends = OmegaConf.create({"low": [0, 0, 0], "high": [1, 1, 2]})
    found = Colour(0.5, low=ends.low, high=ends.high)
    assert repr(found).endswith("low=[0.0, 0.0, 0.0], high=[1.0, 1.0, 2.0])")


def test_images_of_one_channel_are_brighter_and_of_more_contrast_too() -> None:
    one = IMAGES[..., :1]
    found = factors(run(Colour(brightness=0.2), one), one)
    assert 0.8 <= found.min() < 0.85
    assert 1.15 < found.max() <= 1.2
    np.testing.assert_allclose(
        run(Colour(contrast=0.5), one).mean((1, 2)), one.mean((1, 2)), atol=1e-5
    )
