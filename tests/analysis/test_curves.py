"""Curves in the terminal and in files."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from pipeline.analysis.curves import Curve, in_terminal, plot, require_format
from pipeline.errors import ConfigError

FALLING = Curve("A (adam)", [[(10, 2.0), (20, 1.0), (30, 0.5)], [(10, 4.0), (20, 2.0), (30, 1.5)]])
RISING = Curve("B (sgd)", [[(10, 0.5), (20, 1.5), (30, 3.0)]])


def test_the_mean_is_of_the_runs_that_have_a_step_and_a_finite_value() -> None:
    first = [(10, 2.0), (20, 1.0), (20, 3.0), (30, math.nan)]
    second = [(10, 4.0), (30, 1.0), (40, 7.0)]
    curve = Curve("A", [first, second])
    assert curve.mean == [(10, 3.0), (20, 3.0), (30, 1.0), (40, 7.0)]


def test_curves_in_the_terminal_have_their_letters_axes_and_width() -> None:
    text = in_terminal("val/loss", [FALLING, RISING], width=60, colours=False)
    lines = text.splitlines()
    assert all(len(line) <= 60 for line in lines)
    assert "(val/loss)" in lines[0]
    assert "(step)" in text
    assert "\x1b[" not in text
    rows_a = [i for i, line in enumerate(lines) if "A" in line]
    rows_b = [i for i, line in enumerate(lines) if "B" in line]
    column = {letter: [line.index(letter) for line in lines if letter in line] for letter in "AB"}
    assert column["A"] == sorted(column["A"])  # down, from left to right
    assert column["B"] == sorted(column["B"], reverse=True)
    assert rows_a
    assert rows_b


def test_ticks_are_round_steps() -> None:
    last = [[(0, 1.0), (180, 2.0)], [(0, 1.0), (997, 2.0)], [(7, 1.0), (23_456, 2.0)]]
    ticks = [
        in_terminal("loss", [Curve("A", [history])], width=80, colours=False).splitlines()[-1]
        for history in last
    ]
    assert [line.split()[1:4] for line in ticks] == [
        ["0", "40", "80"],
        ["0", "200", "400"],
        ["0", "5000", "1e+04"],
    ]


def test_curves_on_a_terminal_are_coloured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as a terminal does
    assert "\x1b[" in in_terminal("val/loss", [FALLING, RISING], width=60, colours=True)


@pytest.mark.parametrize(
    "curves",
    [
        [],
        [Curve("A", [[]])],
        [Curve("A", [[(10, math.nan), (20, math.inf)]])],
    ],
)
def test_nothing_to_draw_is_nothing(curves: list[Curve]) -> None:
    assert in_terminal("val/loss", curves, width=60, colours=False) == ""


@pytest.mark.parametrize("history", [[(0, 1.0)], [(5, 0.0), (9, 0.0)], [(5, -2.0), (9, -2.0)]])
def test_a_level_curve_is_drawn(history: list[tuple[int, float]]) -> None:
    assert "A" in in_terminal("loss", [Curve("A", [history])], width=60, colours=False)


@pytest.mark.parametrize(
    ("name", "start"), [("c.png", b"\x89PNG"), ("c.SVG", b"<?xml"), ("c.html", b"<!doctype html>")]
)
@pytest.mark.slow
def test_a_file_is_a_picture_or_a_page(name: str, start: bytes, tmp_path: Path) -> None:
    file = tmp_path / name
    plot({"val/loss": [FALLING, RISING], "val/accuracy": [RISING]}, file)
    content = file.read_bytes()
    assert content.startswith(start)
    if name != "c.png":
        text = content.decode().replace("\\u002f", "/")
        assert "val/loss" in text
        assert "val/accuracy" in text
        assert "A (adam)" in text
    if name == "c.html":
        assert b"https://cdn" not in content[: content.index(b"</script>")]
        assert len(content) > 1_000_000  # plotly itself: the page needs no network


def test_a_file_that_cannot_be_written_is_told_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="give a file that ends in .png, .svg, .html"):
        require_format(Path("curves.pdf"))
    with pytest.raises(ConfigError, match="there is no folder"):
        require_format(tmp_path / "none" / "curves.png")
    (tmp_path / "taken.png").mkdir()
    with pytest.raises(ConfigError, match="it cannot be written"):
        plot({"val/loss": [FALLING]}, tmp_path / "taken.png")
