"""Examples as a picture, before and after: what is drawn where, in pixels."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageColor

from pipeline.analysis import example_pictures
from pipeline.analysis.drawing import BLUE, MARGIN, SIDE
from pipeline.analysis.example_pictures import GAP, PLOT, RED, captions, examples_picture, kind

TOP = 4 * MARGIN + 18  # of the first panel
RANDOM = np.random.default_rng(0)


def panel(
    picture: Image.Image, side: int, size: tuple[int, int] = PLOT, row: int = 0
) -> np.ndarray:
    """The pixels of the first example before (0) or after (1), or of one further down."""
    left, top = MARGIN + side * (size[0] + GAP), TOP + row * (size[1] + 18 + MARGIN)
    return np.asarray(picture)[top : top + size[1], left : left + size[0]]


def has(pixels: np.ndarray, colour: str | tuple[int, ...]) -> np.ndarray:
    """Where a colour is."""
    wanted = ImageColor.getrgb(colour) if isinstance(colour, str) else colour
    return (pixels == wanted).all(-1)


@pytest.mark.parametrize(
    ("shape", "dtype", "expected"),
    [
        ((2, 8, 8, 1), np.uint8, "image"),
        ((2, 8, 8, 3), np.float32, "image"),
        ((2, 8, 8, 2), np.float32, "numbers"),
        ((2, 8, 4), np.float32, "series"),
        ((2, 8), np.float32, "numbers"),
        ((2,), np.float32, "numbers"),
        ((2, 8), np.int32, "tokens"),
        ((2,), object, "text"),
        ((2,), "S3", "text"),
    ],
)
def test_how_examples_are_drawn(shape: tuple[int, ...], dtype: type, expected: str) -> None:
    examples = np.zeros(shape, dtype)
    assert kind(examples) == expected
    for after in (examples, None):  # each kind makes a picture, with augmentation and without
        picture = examples_picture(examples, after, ["a", "b"], "title")
        assert picture.width < 1000
        assert (np.asarray(picture) < 100).any()


def test_images_are_shown_beside_each_other_in_one_range() -> None:
    before = np.zeros([1, 4, 4, 1], np.float32)
    before[0, 0, 0] = 0.5
    after = before[:, ::-1] * 2  # upside down and twice as bright
    picture = examples_picture(before, after, ["zero"], "title")
    first, second = (panel(picture, side, (SIDE, SIDE)) for side in (0, 1))
    quarter = SIDE // 4
    assert (first[:quarter, :quarter] == 128).all()
    assert first[quarter:].max() == 0
    assert (second[-quarter:, :quarter] == 255).all()
    assert second[:-quarter].max() == 0


def test_many_images_stand_in_a_grid_with_their_captions() -> None:
    images = RANDOM.random([7, 8, 8, 3])
    names = [f"number {i}" for i in range(7)]
    picture = examples_picture(images, images, names, "title")
    pixels = np.asarray(picture).astype(int)
    across, down = 2 * (SIDE + GAP) + MARGIN, SIDE + 18 + MARGIN
    assert picture.size == (3 * across + MARGIN, 4 * MARGIN + 3 * down)
    for place in range(9):
        x, y = MARGIN + place % 3 * across, 4 * MARGIN + place // 3 * down
        assert (pixels[y : y + 16, x : x + 80].min() < 200) == (place < 7)
        assert (pixels[y + 18 : y + 18 + SIDE, x : x + SIDE].min() < 200) == (place < 7)


def test_a_series_is_a_line_for_each_feature_in_one_range_before_and_after() -> None:
    times = np.arange(30.0)
    before = np.stack([times, 29 - times], -1)[None]
    picture = examples_picture(before, before / 2, ["x"], "title")
    first, second = panel(picture, 0), panel(picture, 1)
    rising, falling = "#0072b2", "#d55e00"
    for pixels, highest in ((first, 0), (second, SIDE // 2)):
        rows, columns = np.nonzero(has(pixels, rising))
        assert np.corrcoef(rows, columns)[0, 1] < -0.99  # upwards, to the right
        assert abs(rows.min() - highest) < 8
        rows, columns = np.nonzero(has(pixels, falling))
        assert np.corrcoef(rows, columns)[0, 1] > 0.99
    assert (first[:20, :48] < 200).any()  # the range is written
    assert (first[-20:, :48] < 200).any()


def test_a_gap_in_a_series_is_a_gap_in_its_line() -> None:
    series = np.zeros([1, 101, 1])
    series[0, 0] = 1.0
    series[0, 40:60] = np.nan
    line = has(panel(examples_picture(series, None, ["x"], "t"), 0), "#0072b2").any(0)
    columns = np.flatnonzero(line)
    assert np.diff(columns).max() == pytest.approx(0.2 * (PLOT[0] - 56), abs=8)


def test_numbers_are_bars_from_zero() -> None:
    numbers = np.array([[2.0, -1.0, 0.0, np.nan]])
    pixels = has(panel(examples_picture(numbers, numbers, ["x"], "t"), 0), BLUE)
    quarters = np.array_split(pixels[:, 52 : PLOT[0] - 4], 4, axis=1)
    heights = [int(quarter.any(1).sum()) for quarter in quarters]
    assert heights[0] == pytest.approx(2 * heights[1], abs=3)
    assert heights[2] <= 1
    assert heights[3] == 0
    up, down = (np.flatnonzero(quarter.any(1)) for quarter in quarters[:2])
    assert up.max() <= down.min() + 1  # one ends where the other begins


def test_one_number_for_all_and_nothing_but_nan_can_be_drawn() -> None:
    for value in (0.0, 5.0, np.nan):
        examples_picture(np.full([2, 3], value), None, ["a", "b"], "t")


def test_tokens_are_words_and_those_that_changed_are_red() -> None:
    words = ["<pad>", "<hidden>", "one", "two"]
    before = np.array([[2, 3, 2, 0, 0]])
    after = np.array([[2, 1, 2, 0, 0]])
    picture = examples_picture(before, after, ["x"], "t", pieces=words.__getitem__)
    size = (PLOT[0], 80)
    assert not has(panel(picture, 0, size), RED).any()
    assert has(panel(picture, 1, size), RED).any()
    boxes = has(panel(picture, 0, size), example_pictures.PALE)[2]  # one a word, none for padding
    assert np.count_nonzero(np.diff(boxes.astype(int)) == -1) == 3


def test_long_text_is_broken_into_lines_and_then_cut() -> None:
    texts = np.array(["word " * 500, "w" * 60, "line\nbreak"], object)
    picture = examples_picture(texts, None, ["a", "b", "c"], "t")
    size = (PLOT[0], 80)
    lines = []
    for row in range(3):
        dark = (panel(picture, 0, size, row) < 100).all(-1)
        lines.append([bool(dark[i * 20 : i * 20 + 20].any()) for i in range(4)])
    assert lines == [[True] * 4, [True, True, False, False], [True, False, False, False]]


def test_a_caption_keeps_to_its_column() -> None:
    images = np.zeros([2, 4, 4, 1])
    long, short = (
        np.asarray(examples_picture(images, images, [name, ""], "t")) for name in ("m" * 99, "m")
    )
    across = 2 * (SIDE + GAP) + MARGIN
    second = np.s_[4 * MARGIN : TOP, MARGIN + across - 2 :]
    np.testing.assert_array_equal(long[second], short[second])


def test_captions_say_class_number_and_mixture() -> None:
    names = ["cat", "dog"]
    assert captions(np.array([0, 1]), names) == ["cat", "dog"]
    share = np.array([1.0, 0.7, 0.25, 0.5])
    assert captions(np.array([0, 1, 1, 0]), names, share) == [
        "cat",
        "0.70 dog + 0.30 cat",
        "0.25 dog + 0.75 cat",
        "0.50 cat + 0.50 dog",
    ]
    assert captions(np.array([[1, 1], [0, 1], [0, 0]]), names) == ["cat, dog", "dog", "none"]
    assert captions(np.array([1.23456, 2])) == ["1.235", "2"]
    assert captions(np.arange(6)[None]) == ["0, 1, 2, 3, \u2026"]
    assert captions(np.array([b"text"], object)) == ["text"]
