"""Points and lines: what is where, in pixels."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from pipeline.analysis import drawing, plots, reconstructions


def marked(picture: Image.Image, colour: tuple[int, int, int]) -> np.ndarray:
    """Where a colour is: ``[row, column]`` of each pixel."""
    return np.argwhere((np.asarray(picture) == colour).all(-1))


def test_points_lie_by_the_diagonal_as_they_are_predicted() -> None:
    truth = np.array([[0.0], [10.0]])
    above = plots.scatter_picture(truth, truth + [[2.0], [0.0]], ["x"], "t")
    below = plots.scatter_picture(truth, truth - [[0.0], [2.0]], ["x"], "t")
    left, right = plots.LEFT, plots.LEFT + plots.PANEL[0]
    bottom = 3 * plots.MARGIN + plots.ABOVE + plots.PANEL[1]
    for picture, expected in ((above, [(0, 2), (10, 10)]), (below, [(0, 0), (10, 8)])):
        spots = marked(picture, plots.COLOURS[1])
        centres = [spots[spots[:, 1] < 240].mean(0), spots[spots[:, 1] >= 240].mean(0)]
        for (row, column), (x, y) in zip(centres, expected, strict=True):
            # From -0.4 to 10.4: the values and a little room.
            assert column == pytest.approx(left + (x + 0.4) / 10.8 * (right - left), abs=1)
            assert row == pytest.approx(bottom - (y + 0.4) / 10.8 * plots.PANEL[1], abs=1)


def test_several_targets_have_a_panel_each_and_many_points_are_thinned() -> None:
    random = np.random.default_rng(0)
    truth = random.normal(size=(50_000, 4))
    picture = plots.scatter_picture(truth, truth, ["a", "b"], "t")
    one = plots.scatter_picture(truth[:, :1], truth[:, :1], [], "t")
    assert picture.width == 3 * one.width
    assert picture.height == 2 * one.height - 3 * plots.MARGIN
    assert len(marked(picture, plots.COLOURS[1])) > 2000


def test_lines_are_drawn_over_one_another_with_gaps_where_nothing_is_known() -> None:
    truth = np.array([0.0, 1.0, 0.0, 1.0, 0.0])
    model = np.array([np.nan, 0.5, 0.5, np.nan, 0.5])
    picture = plots.lines_picture({"value": {"truth": truth, "model": model}}, "t", "year")
    top = 3 * plots.MARGIN + plots.ABOVE
    spots = marked(picture, plots.COLOURS[1])
    spots = spots[(spots[:, 0] > top + 5) & (spots[:, 0] < top + plots.WIDE[1])]
    at = plots.LEFT + np.array([1, 2]) / 4 * plots.WIDE[0]
    assert (spots[:, 1].min(), spots[:, 1].max()) == pytest.approx(at, abs=10)
    assert spots[:, 0].mean() == pytest.approx(top + plots.WIDE[1] / 2, abs=2)
    black = marked(picture, plots.COLOURS[0])
    black = black[(black[:, 0] > top + 5) & (black[:, 0] < top + plots.WIDE[1])]
    assert np.ptp(black[:, 1]) == pytest.approx(plots.WIDE[0], abs=4)


def test_what_is_not_finite_or_never_varies_can_be_drawn() -> None:
    nothing = np.full([3, 1], np.nan)
    plots.scatter_picture(nothing, nothing, ["x"], "t")
    plots.scatter_picture(np.zeros([3, 1]), np.array([[np.inf], [0.0], [0.0]]), ["x"], "t")
    plots.lines_picture({"x": {"truth": np.array([7.0])}}, "t")


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 10.0, [0, 2, 4, 6, 8, 10]),
        (-0.03, 0.21, [0, 0.05, 0.1, 0.15, 0.2]),
        (1996.2, 2004.4, [1998, 2000, 2002, 2004]),
        (3.0, 3.0000004, [3.0, 3.0000001, 3.0000002, 3.0000003, 3.0000004]),
        (-1e9, 1e9, [-1e9, -5e8, 0, 5e8, 1e9]),
    ],
)
def test_ticks_are_few_round_numbers(low: float, high: float, expected: list[float]) -> None:
    assert plots.ticks(low, high) == pytest.approx(expected, abs=1e-12)


def test_pairs_show_the_original_above_what_came_out_in_the_same_grey() -> None:
    originals = np.zeros([9, 4, 4, 1], np.float32)
    originals[:, 0] = 1.0
    made = originals * 0.5
    made[0, -1] = 50.0  # wild, and white like the brightest original
    picture = reconstructions.pairs_picture(originals, made, ["rmse 1"] * 9, "title")
    pixels, side, margin = np.asarray(picture), drawing.SIDE, drawing.MARGIN
    top, below = 4 * margin, 4 * margin + side + 4
    place = slice(margin, margin + side)
    assert (pixels[top : top + side // 4, place] == 255).all()
    assert (pixels[top + side // 4 : top + side, place] == 0).all()
    assert (pixels[below : below + side // 4, place] == 128).all()
    assert (pixels[below + 3 * side // 4 : below + side, place] == 255).all()
    single = reconstructions.pairs_picture(originals[:8], made[:8], [""] * 8, "title")
    assert picture.height > single.height  # the ninth begins a line
    assert picture.width == single.width
