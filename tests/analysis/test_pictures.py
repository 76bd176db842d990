"""Confusion matrix and misclassified images as pictures: what is where, in pixels."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.analysis import drawing, pictures
from pipeline.analysis.classification import Mistake

NAMES = ["zero", "one", "two"]
MATRIX = np.array([[9, 1, 0], [0, 10, 0], [5, 0, 5]])


def mistake(index: int, truth: int = 0, predicted: int = 1) -> Mistake:
    return Mistake(index, truth, predicted, 0.1, 0.8, 2.3)


def cells(picture, classes: int) -> np.ndarray:
    """The colour in a corner of each cell, ``[row, column, 3]``."""
    pixels = np.asarray(picture)
    cell = pictures._cell(classes)
    right, bottom = picture.width, picture.height - pictures.MARGIN
    # From the frame, which is the last grey column and row.
    grey = (pixels == pictures.GREY).all(-1)
    left = int(np.flatnonzero(grey[bottom - 2])[0]) + 1
    top = bottom - cell * classes
    assert left + cell * classes <= right
    corners = np.arange(classes) * cell + 2
    return pixels[np.ix_(top + corners, left + corners)].astype(int)


def test_cells_are_as_dark_as_their_share_of_the_row() -> None:
    found = cells(pictures.confusion_picture(MATRIX, NAMES, "title"), 3)
    white, blue = np.array(pictures.WHITE), np.array(pictures.BLUE)
    expected = np.sqrt(MATRIX / 10)[..., None] * (blue - white) + white
    np.testing.assert_allclose(found, expected, atol=1)


def test_counts_are_written_where_there_are_any_and_room() -> None:
    none = pictures.confusion_picture(np.zeros([3, 3], int), NAMES, "t")
    some = pictures.confusion_picture(np.diag([0, 0, 1]), NAMES, "t")
    changed = np.argwhere((np.asarray(none) != np.asarray(some)).any(-1))
    cell = pictures._cell(3)
    assert np.ptp(changed, 0).max() <= cell
    with_number = np.asarray(some)[-cell:]
    assert (with_number == 255).all(-1).any()  # white on dark
    many = np.asarray(pictures.confusion_picture(np.eye(50, dtype=int), [""] * 50, "t"))
    inside = many[-pictures.MARGIN - 20 * 50 : -pictures.MARGIN - 1, -pictures.MARGIN - 900 : -40]
    red = np.unique(inside[..., 0])
    assert red.tolist() == [pictures.BLUE[0], 255]  # and nothing between: no digits


@pytest.mark.parametrize("classes", [1, 2, 12, 41, 101, 1000])
def test_any_number_of_classes_fits_a_screen(classes: int) -> None:
    names = [f"a class of a long name, number {i}" for i in range(classes)]
    picture = pictures.confusion_picture(np.eye(classes, dtype=int), names, "title")
    assert max(picture.size) < 1700
    if classes > 1:
        assert cells(picture, classes)[0, 0].tolist() == list(pictures.BLUE)


def test_images_are_shown_large_in_the_order_given() -> None:
    images = np.zeros([2, 4, 4, 1], np.uint8)
    images[0, 0, 0], images[1, 3, 3] = 16, 16  # the brightest there is
    picture = pictures.mistakes_picture(images, [mistake(5), mistake(7)], NAMES, "title")
    pixels, side, margin = np.asarray(picture), pictures.SIDE, pictures.MARGIN
    first = pixels[4 * margin : 4 * margin + side, margin : margin + side]
    second = pixels[4 * margin : 4 * margin + side, 2 * margin + side : 2 * (margin + side)]
    quarter = side // 4
    assert (first[:quarter, :quarter] == 255).all()
    assert (first[quarter:, quarter:] == 0).all()
    assert (second[-quarter:, -quarter:] == 255).all()
    assert (second[:-quarter, :-quarter] == 0).all()


@pytest.mark.parametrize(
    "images",
    [
        np.linspace(-3, 5, 40 * 20 * 3, dtype=np.float32).reshape(1, 40, 20, 3),
        np.full([1, 300, 200, 4], 7, np.uint16),
        np.zeros([1, 1, 1, 1], bool),
    ],
    ids=["float", "one value", "one pixel"],
)
def test_values_of_any_range_are_stretched(images: np.ndarray) -> None:
    pixels = np.asarray(pictures.mistakes_picture(images, [mistake(0)], NAMES, "t"))
    corner = 4 * pictures.MARGIN
    shown = pixels[corner : corner + pictures.SIDE, pictures.MARGIN : pictures.MARGIN + 112]
    if len(np.unique(images)) > 1:
        assert shown.min() == 0
        assert shown.max() >= 250


def test_no_mistakes_make_a_picture_that_says_so() -> None:
    picture = pictures.mistakes_picture(np.zeros([0, 8, 8, 1]), [], NAMES, "0 misclassified")
    assert (np.asarray(picture) < 100).any()


@pytest.mark.parametrize("name", ["a", "m" * 60, "\u0436\u03bb\u00e9 " * 9])
def test_captions_keep_to_their_column(name: str) -> None:
    text = pictures._captioned("said", name, 0.123)
    assert text.endswith(": 0.123")
    assert drawing.font(12).getlength(text) <= pictures.SIDE + pictures.MARGIN


def test_the_font_knows_more_than_plain_letters() -> None:
    """Pillow's own draws a box for them."""
    font = drawing.font(12)
    unknown = bytes(font.getmask("\u0378"))  # no such character
    assert all(bytes(font.getmask(letter)) != unknown for letter in "\u00e4\u0436\u03bb\u2192")


def test_what_is_an_image() -> None:
    assert pictures.is_drawable((8, 8, 1))
    assert pictures.is_drawable((32, 32, 3))
    assert not any(map(pictures.is_drawable, [(8,), (8, 8), (8, 8, 2), (4, 8, 8, 3)]))
