"""Points and lines in a frame with numbers at its edges.

In Pillow, as ``pictures.py``: a run makes them when it ends. Studies over many runs have time for
matplotlib.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw

from pipeline.analysis.drawing import BLACK, GREY, MARGIN, WHITE, font, sideways

COLOURS = ((20, 20, 20), (31, 119, 180), (214, 90, 20), (44, 140, 44), (140, 80, 180))
LIGHT = (225, 225, 225)
PANEL = (360, 300)  # pixels of a frame with points
WIDE = (900, 220)  # and with lines
LEFT, BELOW, ABOVE = 76, 46, 30  # around a frame
POINTS = 5000  # drawn of each target; more would cover each other
COLUMNS = 3


def scatter_picture(
    truth: np.ndarray, predicted: np.ndarray, names: Sequence[str], title: str
) -> Image.Image:
    """A panel for each target: what is predicted (up) of what is true (across), and the diagonal.

    Args:
        truth, predicted: ``[n, targets]``. Of very many points evenly spaced ones are drawn.
    """
    targets = truth.shape[1]
    columns = min(COLUMNS, targets)
    picture, places = _sheet(title, targets, columns, PANEL)
    rows = np.unique(np.linspace(0, len(truth) - 1, min(POINTS, len(truth))).astype(int))
    for i, place in enumerate(places):
        x, y = (np.asarray(a[rows, i], np.float64) for a in (truth, predicted))
        span = _span(x, y)
        frame = _Frame(picture, place, PANEL, span, span)
        frame.axes(names[i] if i < len(names) else "", "truth", "predicted")
        frame.line(np.array(span), np.array(span), GREY)
        frame.points(x, y, COLOURS[1])
    return picture


def lines_picture(
    panels: Mapping[str, Mapping[str, np.ndarray]], title: str, across: str = "step"
) -> Image.Image:
    """A panel for each name: lines by their own names over the same steps, the first in black.

    Args:
        panels: name of the panel to name of the line to ``[steps]``; NaN leaves a gap.
    """
    picture, places = _sheet(title, len(panels), 1, WIDE)
    for place, (name, lines) in zip(places, panels.items(), strict=True):
        values = [np.asarray(line, np.float64) for line in lines.values()]
        steps = max(len(line) for line in values)
        frame = _Frame(picture, place, WIDE, (0.0, max(1.0, steps - 1.0)), _span(*values))
        frame.axes(name, across, "")
        frame.legend(list(lines))
        for number, line in reversed(list(enumerate(values))):
            frame.line(np.arange(len(line)), line, COLOURS[number % len(COLOURS)])
    return picture


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """At most ``most`` round numbers in ``[low, high]``, evenly spaced by 1, 2 or 5 times 10^n."""
    size = 10.0 ** math.floor(math.log10((high - low) / most))
    step = next(size * by for by in (1, 2, 5, 10, 20) if (high - low) / (size * by) <= most - 1)
    first = math.ceil(low / step - 1e-9)
    return [n * step for n in range(first, math.floor(high / step + 1e-9) + 1)]


class _Frame:
    """A rectangle of the picture in which numbers have a place."""

    def __init__(
        self,
        picture: Image.Image,
        place: tuple[int, int],
        size: tuple[int, int],
        across: tuple[float, float],
        up: tuple[float, float],
    ) -> None:
        self.picture, self.draw = picture, ImageDraw.Draw(picture)
        (self.left, self.top), (self.width, self.height) = place, size
        self.across, self.up = across, up

    def axes(self, name: str, across: str, up: str) -> None:
        """The frame with its numbers, its name, and what they are of."""
        right, bottom = self.left + self.width, self.top + self.height
        small = font(11)
        for value in ticks(*self.across):
            x, _ = self.at(value, self.up[0])
            self.draw.line((x, self.top, x, bottom), LIGHT)
            self.draw.text((x, bottom + 4), f"{value:.6g}", GREY, small, anchor="ma")
        for value in ticks(*self.up):
            _, y = self.at(self.across[0], value)
            self.draw.line((self.left, y, right, y), LIGHT)
            self.draw.text((self.left - 5, y), f"{value:.6g}", GREY, small, anchor="rm")
        self.draw.rectangle((self.left, self.top, right, bottom), outline=GREY)
        self.draw.text((self.left, self.top - 5), name, BLACK, font(13), anchor="ls")
        middle = self.left + self.width // 2
        self.draw.text((middle, bottom + 20), across, BLACK, font(12), anchor="ma")
        if up:
            sideways(self.picture, up, (self.left - 72, self.top), font(12), BLACK)

    def legend(self, names: Sequence[str]) -> None:
        """The lines' names in their colours, above the frame at its right."""
        x = self.left + self.width
        for number, name in reversed(list(enumerate(names))):
            colour = COLOURS[number % len(COLOURS)]
            self.draw.text((x, self.top - 5), name, colour, font(12), anchor="rs")
            x -= round(font(12).getlength(name)) + MARGIN

    def line(self, x: np.ndarray, y: np.ndarray, colour: tuple[int, int, int]) -> None:
        """From point to point; not to or from one that is not finite."""
        for first in range(len(x) - 1):
            ends = (x[first], y[first], x[first + 1], y[first + 1])
            if np.isfinite(ends).all():
                self.draw.line((self.at(*ends[:2]), self.at(*ends[2:])), colour, 2)

    def points(self, x: np.ndarray, y: np.ndarray, colour: tuple[int, int, int]) -> None:
        """A dot for each that is finite."""
        for pair in zip(x, y, strict=True):
            if np.isfinite(pair).all():
                column, row = self.at(*pair)
                self.draw.ellipse((column - 1.5, row - 1.5, column + 1.5, row + 1.5), colour)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """The place of a point in the picture."""
        across = (x - self.across[0]) / (self.across[1] - self.across[0])
        up = (y - self.up[0]) / (self.up[1] - self.up[0])
        return self.left + across * self.width, self.top + (1.0 - up) * self.height


def _sheet(
    title: str, panels: int, columns: int, size: tuple[int, int]
) -> tuple[Image.Image, list[tuple[int, int]]]:
    """A white sheet with its title, and where each frame has its upper left corner."""
    width, height = LEFT + size[0] + MARGIN, ABOVE + size[1] + BELOW
    lines = -(-panels // columns)
    head = 3 * MARGIN
    whole = max(columns * width, 2 * MARGIN + round(font(15).getlength(title)))
    picture = Image.new("RGB", (whole, head + lines * height), WHITE)
    ImageDraw.Draw(picture).text((MARGIN, MARGIN), title, BLACK, font(15))
    places = [divmod(i, columns) for i in range(panels)]
    return picture, [(c * width + LEFT, head + r * height + ABOVE) for r, c in places]


def _span(*values: np.ndarray) -> tuple[float, float]:
    """From the least to the greatest of all that is finite, with a little room."""
    every = np.concatenate([np.ravel(v) for v in values])
    every = every[np.isfinite(every)]
    low, high = (float(every.min()), float(every.max())) if every.size else (0.0, 1.0)
    room = 0.04 * (high - low) or 0.5 * abs(high) or 0.5
    return low - room, high + room
