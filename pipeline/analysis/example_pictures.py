"""Examples of a dataset as a picture, before and after augmentation.

Images as they are, series as lines, tokens as their words, anything else of numbers as bars. What
the examples are, and how they are augmented, is the caller's: NumPy arrays come in.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from pipeline.analysis.curves import COLOURS
from pipeline.analysis.drawing import (
    BLACK,
    BLUE,
    GREY,
    MARGIN,
    SIDE,
    WHITE,
    fitted,
    font,
    short,
    stretched,
)
from pipeline.analysis.pictures import is_drawable

PAIRS = 3  # examples that are images beside each other
PLOT = (360, SIDE)  # pixels of a plot
LINES, LINE = 4, 20  # of text that are shown of an example, and pixels of one
GAP = 4  # pixels between before and after
PALE, RED = (232, 238, 246), (170, 20, 20)
VALUES = 256  # numbers of an example that are drawn as bars

Pieces = Callable[[int], str]


def examples_picture(
    before: np.ndarray,
    after: np.ndarray | None,
    captions: Sequence[str],
    title: str,
    pieces: Pieces = str,
) -> Image.Image:
    """Each example with its caption, and beside it what augmentation made of it.

    Args:
        before: ``[n, ...]``, of any shape; see ``kind``.
        after: the same examples; ``None`` where there is no augmentation.
        captions: ``n`` texts, such as ``captions`` gives.
        pieces: a token's text, where the examples are tokens.
    """
    sides = [before] if after is None else [before, after]
    panels = [list(row) for row in zip(*_panels(sides, pieces), strict=True)]
    columns = PAIRS if kind(before) == "image" else 1
    width, height = panels[0][0].size if panels else PLOT
    across, down = len(sides) * (width + GAP) + MARGIN, height + 18 + MARGIN
    lines = -(-len(panels) // columns)
    heading = title if after is None else f"{title}: before, and after augmentation"
    size = (
        max(columns * across, round(font(15).getlength(heading)) + MARGIN) + MARGIN,
        4 * MARGIN + lines * down,
    )
    picture = Image.new("RGB", size, WHITE)
    draw = ImageDraw.Draw(picture)
    draw.text((MARGIN, MARGIN), heading, BLACK, font(15))
    for place, (row, caption) in enumerate(zip(panels, captions, strict=True)):
        x = MARGIN + place % columns * across
        y = 4 * MARGIN + place // columns * down
        draw.text((x, y), _cut(caption, across - MARGIN - GAP), GREY, font(12))
        for side, panel in enumerate(row):
            picture.paste(panel, (x + side * (width + GAP), y + 18))
    return picture


def kind(examples: np.ndarray) -> str:
    """How examples ``[n, ...]`` are drawn.

    ``image`` (``[height, width, channels]``), ``text`` (strings), ``tokens`` (integers
    ``[time]``), ``series`` (``[time, features]``), or ``numbers`` for all else.
    """
    if examples.dtype.kind in "OSU":
        return "text"
    if is_drawable(examples.shape[1:]):
        return "image"
    if examples.ndim == 2 and examples.dtype.kind in "iu":
        return "tokens"
    return "series" if examples.ndim == 3 else "numbers"


def captions(
    targets: np.ndarray, names: Sequence[str] = (), share: np.ndarray | None = None
) -> list[str]:
    """What each example is an example of.

    Args:
        targets: ``[n]`` classes or numbers, or ``[n, k]`` several numbers, of which those above
            1/2 are meant where there are names.
        names: of the classes.
        share: ``[n]``, of what was mixed: how much of the target is the example's own; the rest is
            that of its neighbour, ``i XOR 1``.
    """
    own = [_caption(target, names) for target in targets]
    if share is None:
        return own
    return [
        own[i] if part > 0.995 else f"{part:.2f} {own[i]} + {1 - part:.2f} {own[i ^ 1]}"
        for i, part in enumerate(share)
    ]


def _caption(target: Any, names: Sequence[str]) -> str:
    values = np.atleast_1d(target)
    if names and np.ndim(target):
        chosen = [short(names[int(i)]) for i in np.flatnonzero(values > 0.5)]
        return ", ".join(chosen) or "none"
    if names:
        return short(names[int(values[0])])
    shown = [
        value.decode(errors="replace") if isinstance(value, bytes) else value
        for value in values[:4]
    ]
    texts = [f"{v:.4g}" if isinstance(v, float | np.floating) else str(v) for v in shown]
    return ", ".join(texts) + (", \u2026" if values.size > 4 else "")


def _panels(sides: Sequence[np.ndarray], pieces: Pieces) -> list[list[Image.Image]]:
    """For each side a picture of each example, all of one size."""
    how = kind(sides[0])
    if how == "image":
        # Together, so that a change of brightness can be seen.
        values = stretched(np.stack(sides))
        return [[_framed(image) for image in images] for images in values]
    if how == "text":
        return [[_text([_string(text)], [False]) for text in side] for side in sides]
    if how == "tokens":
        return [
            [_tokens(row, row != first, pieces) for row, first in zip(side, sides[0], strict=True)]
            for side in sides
        ]
    paint = _lines if how == "series" else _bars
    both = np.stack([side.reshape(len(side), -1) for side in sides]).astype(np.float64)
    both[~np.isfinite(both)] = np.nan
    ranges = [_range(both[:, i]) for i in range(both.shape[1])]
    return [
        [paint(x.astype(np.float64), *ends) for x, ends in zip(side, ranges, strict=True)]
        for side in sides
    ]


def _framed(image: np.ndarray) -> Image.Image:
    panel = Image.new("RGB", (SIDE, SIDE), (235, 235, 235))
    shown = fitted(image)
    panel.paste(shown, ((SIDE - shown.width) // 2, (SIDE - shown.height) // 2))
    return panel


def _range(values: np.ndarray) -> tuple[float, float]:
    """Lowest and highest, apart from each other, of an example before and after."""
    found = values[np.isfinite(values)]
    low, high = (found.min(), found.max()) if found.size else (0.0, 0.0)
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def _axes(low: float, high: float) -> tuple[Image.Image, ImageDraw.ImageDraw, Callable[..., Any]]:
    """An empty plot with its range written, and where in it a value of a share of its width is."""
    panel = Image.new("RGB", PLOT, WHITE)
    draw = ImageDraw.Draw(panel)
    left, top, right, bottom = 52, 4, PLOT[0] - 4, PLOT[1] - 5
    draw.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline=(215, 215, 215))
    draw.text((left - 5, top), f"{high:.3g}", GREY, font(10), anchor="rt")
    draw.text((left - 5, bottom), f"{low:.3g}", GREY, font(10), anchor="rb")

    def place(share: float, value: float) -> tuple[float, float]:
        return left + share * (right - left), bottom - (value - low) / (high - low) * (bottom - top)

    return panel, draw, place


def _lines(series: np.ndarray, low: float, high: float) -> Image.Image:
    """``[time, features]``: a line for each of the first features; nothing where there is a NaN."""
    panel, draw, place = _axes(low, high)
    last = max(1, len(series) - 1)
    for values, colour in reversed(list(zip(series.T, COLOURS, strict=False))):
        for step, pair in enumerate(zip(values, values[1:], strict=False)):
            if np.isfinite(pair).all():
                points = [place((step + i) / last, value) for i, value in enumerate(pair)]
                draw.line(points, colour, 2)
    return panel


def _bars(numbers: np.ndarray, low: float, high: float) -> Image.Image:
    """Bars from 0, or from the end of the range that is nearer to it."""
    panel, draw, place = _axes(low, high)
    values = numbers.reshape(-1)[:VALUES]
    ground = min(max(0.0, low), high)
    for i, value in enumerate(values):
        if np.isfinite(value):
            left, y = place((i + 0.1) / len(values), value)
            right, zero = place((i + 0.9) / len(values), ground)
            draw.rectangle((left, min(y, zero), max(left, right), max(y, zero)), BLUE)
    return panel


def _tokens(row: np.ndarray, changed: np.ndarray, pieces: Pieces) -> Image.Image:
    """Without the padding, 0, at its end."""
    length = int(np.flatnonzero(row)[-1]) + 1 if row.any() else 0
    return _text([pieces(int(token)) for token in row[:length]], changed[:length])


def _text(pieces: Sequence[str], marked: Sequence[bool] | np.ndarray) -> Image.Image:
    """Pieces side by side, those that are ``marked`` in red; a piece may fill several lines."""
    letters = font(12)
    panel = Image.new("RGB", (PLOT[0], LINES * LINE), WHITE)
    draw = ImageDraw.Draw(panel)
    x = y = 0
    for piece, mark in zip(pieces, marked, strict=True):
        shown = piece.replace("\n", "\u23ce").replace("\t", "\u21e5") or " "
        shown = shown[: LINES * PLOT[0]]  # more letters than there are pixels cannot be seen
        while shown:
            part = shown
            if x + letters.getlength(part) > PLOT[0] and x:
                x, y = 0, y + LINE
            part = _cut(part, PLOT[0] - 2, ellipsis="")
            if y >= LINES * LINE:
                draw.text((PLOT[0] - 1, y - 4), "\u2026", GREY, letters, anchor="rs")
                return panel
            width = round(letters.getlength(part))
            draw.rectangle((x, y + 1, x + width, y + LINE - 3), PALE)
            draw.text((x, y + 1), part, RED if mark else BLACK, letters)
            shown, x = shown[len(part) :], x + width + 3
    return panel


def _cut(text: str, width: float, ellipsis: str = "\u2026") -> str:
    """As much of ``text`` as is at most ``width`` pixels long, and at least a letter."""
    letters = font(12)
    if letters.getlength(text) <= width:
        return text
    lengths = range(1, min(len(text), round(width)))
    most = bisect_right(lengths, width, key=lambda n: letters.getlength(text[:n] + ellipsis))
    return text[: max(1, most)] + ellipsis


def _string(text: bytes | str) -> str:
    return text.decode(errors="replace") if isinstance(text, bytes) else str(text)
