"""Where pixels go, against NumPy and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from pipeline.data.augment import Crop, Cutout, Flip, Rotate
from pipeline.data.augment.geometry import resample, rotation
from pipeline.data.draw import Draw

RANDOM = np.random.default_rng(0)
BATCH = 200
IMAGES = RANDOM.random([BATCH, 7, 5, 2], np.float32) + 1.0  # nothing is 0


def run(step, x: np.ndarray = IMAGES) -> np.ndarray:
    return step(tf.constant(x), Draw(tf.constant([0, 0], tf.int64), tf.range(len(x)), len(x)))


@pytest.mark.parametrize(("horizontal", "vertical"), [(True, False), (False, True), (True, True)])
def test_half_of_the_images_are_mirrored_each_way(horizontal: bool, vertical: bool) -> None:
    found = run(Flip(horizontal, vertical)).numpy()
    ways = {
        (h, v): (found == IMAGES[:, :: 1 - 2 * v, :: 1 - 2 * h]).all((1, 2, 3))
        for h in (0, 1)
        for v in (0, 1)
    }
    shares = {way: same.mean() for way, same in ways.items()}
    assert sum(shares.values()) == 1.0
    assert {way for way, share in shares.items() if share} == {
        (h, v) for h in range(horizontal + 1) for v in range(vertical + 1)
    }
    expected = 1 / 2 ** (horizontal + vertical)
    assert all(abs(share - expected) < 0.12 for share in shares.values() if share)


@pytest.mark.parametrize(("mode", "padded"), [("zeros", "constant"), ("reflect", "reflect")])
def test_crops_are_all_places_of_the_padded_image(mode: str, padded: str) -> None:
    found = run(Crop(2, mode)).numpy()
    whole = np.pad(IMAGES, [(0, 0), (2, 2), (2, 2), (0, 0)], padded)
    places = np.array(
        [
            (found == whole[:, row : row + 7, column : column + 5]).all((1, 2, 3))
            for row in range(5)
            for column in range(5)
        ]
    )
    assert (places.sum(0) == 1).all()
    assert places.sum(1).min() >= 1  # 8 expected of each of the 25
    assert places.sum(1).max() <= 20


@pytest.mark.parametrize("angle", [0.3, -1.2, np.pi / 2, np.pi])
def test_a_turn_is_scipys(angle: float) -> None:
    turn = rotation(tf.constant([angle], tf.float32))
    found = resample(tf.constant(IMAGES[:1]), turn, tf.zeros([1, 2]), fill=0.25)[0]
    matrix, middle = turn.numpy()[0], np.array([3.0, 2.0])
    for channel in range(2):
        expected = ndimage.affine_transform(
            IMAGES[0, ..., channel], matrix, middle - matrix @ middle, order=1,
            mode="grid-constant", cval=0.25,
        )  # fmt: skip
        np.testing.assert_allclose(found[..., channel], expected, atol=1e-5)


def test_a_quarter_turn_of_a_square_moves_every_pixel_to_its_place() -> None:
    square = IMAGES[:1, :5]
    turn = rotation(tf.constant([np.pi / 2], tf.float32))
    found = resample(tf.constant(square), turn, tf.zeros([1, 2]), fill=0.0)
    np.testing.assert_allclose(found, np.rot90(square, -1, axes=(1, 2)), atol=1e-5)


def test_a_shift_of_whole_pixels_is_exact_and_filled() -> None:
    """Pixels come from where the shift says; a picture moved out of sight is all fill."""
    unit = tf.eye(2, batch_shape=[2])
    found = resample(
        tf.constant(IMAGES[:2]), unit, tf.constant([[2.0, -1.0], [50.0, 0.0]]), fill=9.0
    ).numpy()
    expected = np.full_like(IMAGES[0], 9.0)
    expected[:5, 1:] = IMAGES[0, 2:, :4]
    np.testing.assert_array_equal(found[0], expected)
    np.testing.assert_array_equal(found[1], np.full_like(IMAGES[1], 9.0))


def test_angles_fill_their_range_either_way() -> None:
    """Told from where a bright spot, three pixels right of the middle, is gone."""
    spot = np.zeros([BATCH, 9, 9, 1], np.float32)
    spot[:, 4, 7] = 1.0
    found = run(Rotate(30), spot).numpy()[..., 0]
    rows, columns = np.mgrid[:9, :9] - 4
    weight = found.sum((1, 2))
    angles = np.degrees(
        np.arctan2((found * rows).sum((1, 2)) / weight, (found * columns).sum((1, 2)) / weight)
    )
    assert np.abs(angles).max() < 31
    assert angles.min() < -25
    assert angles.max() > 25
    assert np.abs(np.mean(angles)) < 5


def test_cutout_is_a_square_whose_middle_is_anywhere() -> None:
    found = run(Cutout(3, fill=-1.0)).numpy()
    cut = (found == -1.0).all(-1)
    assert (cut == (found == -1.0).any(-1)).all()  # all channels of a pixel
    np.testing.assert_array_equal(found[~cut], IMAGES[~cut])
    rows, columns = cut.any(2), cut.any(1)
    assert (cut == rows[:, :, None] & columns[:, None, :]).all()
    for side in (rows, columns):
        assert set(side.sum(1)) == {2, 3}  # two where the middle is on the edge
    corners = {(row.argmax(), column.argmax()) for row, column in zip(rows, columns, strict=True)}
    assert len(corners) == 6 * 4  # of 7 x 5 middles two share a first row, two a first column
    assert cut.all() != cut.any()


def test_cutout_larger_than_the_image_leaves_something_or_nothing() -> None:
    assert (run(Cutout(20)).numpy() == 0).all()
