"""A confusion matrix and misclassified images as pictures.

In Pillow: loading matplotlib and drawing these two with it took a second of each run, this takes a
twentieth. Studies over many runs have time for plots.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from pipeline.analysis.classification import Mistake
from pipeline.analysis.drawing import (
    BLACK,
    BLUE,
    GREY,
    LONGEST,
    MARGIN,
    SIDE,
    WHITE,
    fitted,
    font,
    short,
    sideways,
    stretched,
)

COUNTED = 40  # classes up to which the counts are written into the cells
LABELLED = 100  # classes up to which the rows and columns have names
COLUMNS, CAPTION = 6, 54  # of the grid of images: pixels of the lines below one


def confusion_picture(matrix: np.ndarray, names: Sequence[str], title: str) -> Image.Image:
    """A row for each true class, a column for each predicted one; the shade is the row's share."""
    classes = len(matrix)
    cell = _cell(classes)
    words = [short(name) for name in names] if classes <= LABELLED else []
    letters = font(min(13, max(8, cell - 2)))
    beside = max((round(letters.getlength(word)) for word in words), default=0) + MARGIN
    left, top = MARGIN + 20 + beside, 3 * MARGIN + 36 + beside
    side = cell * classes
    width = max(left + side + MARGIN, left + round(font(15).getlength(title)) + MARGIN)
    picture = Image.new("RGB", (width, top + side + MARGIN), WHITE)
    draw = ImageDraw.Draw(picture)

    totals = matrix.sum(1, keepdims=True)
    shares = np.divide(matrix, totals, out=np.zeros(matrix.shape), where=totals > 0)
    # The square root, so that one mistake among hundreds can be seen.
    shade = np.sqrt(shares)[..., None] * (np.array(BLUE) - WHITE) + WHITE
    shade = shade.astype(np.uint8).repeat(cell, 0).repeat(cell, 1)
    picture.paste(Image.fromarray(shade), (left, top))
    draw.rectangle((left - 1, top - 1, left + side, top + side), outline=GREY)

    draw.text((left, MARGIN), title, BLACK, font(15))
    draw.text((left, MARGIN + 24), "predicted \u2192", GREY, font(12))
    sideways(picture, "\u2190 truth", (MARGIN, top), font(12), GREY)
    for i, word in enumerate(words):
        middle = i * cell + cell // 2
        draw.text((left - 6, top + middle), word, BLACK, letters, anchor="rm")
        place = (left + middle - round(letters.size) // 2, top - 6)
        sideways(picture, word, place, letters, BLACK, above=True)
    if classes <= COUNTED:
        for row, column in np.argwhere(matrix):
            place = (left + column * cell + cell // 2, top + row * cell + cell // 2)
            dark = shares[row, column] > 0.25
            text = f"{matrix[row, column]}"
            draw.text(place, text, WHITE if dark else BLACK, letters, anchor="mm")
    return picture


def mistakes_picture(
    images: np.ndarray, found: Sequence[Mistake], names: Sequence[str], title: str
) -> Image.Image:
    """The images of ``found``, in its order, each with truth, prediction and probabilities.

    Args:
        images: ``[len(found), height, width, channels]`` of any numeric dtype, with 1, 3 or 4
            channels. Their values are stretched together to black and white.
    """
    lines = -(-len(found) // COLUMNS)
    size = (MARGIN + COLUMNS * (SIDE + MARGIN), 4 * MARGIN + lines * (SIDE + CAPTION + MARGIN))
    picture = Image.new("RGB", size, WHITE)
    draw = ImageDraw.Draw(picture)
    draw.text((MARGIN, MARGIN), title, BLACK, font(15))
    for place, (image, mistake) in enumerate(zip(stretched(images), found, strict=True)):
        row, column = divmod(place, COLUMNS)
        x = MARGIN + column * (SIDE + MARGIN)
        y = 4 * MARGIN + row * (SIDE + CAPTION + MARGIN)
        draw.rectangle((x, y, x + SIDE - 1, y + SIDE - 1), (235, 235, 235))
        shown = fitted(image)
        picture.paste(shown, (x + (SIDE - shown.width) // 2, y + (SIDE - shown.height) // 2))
        caption = (
            (f"example {mistake.index}", GREY),
            (_captioned("is", names[mistake.truth], mistake.p_truth), BLACK),
            (_captioned("said", names[mistake.predicted], mistake.p_predicted), (170, 20, 20)),
        )
        for line, (text, colour) in enumerate(caption):
            draw.text((x, y + SIDE + 3 + 16 * line), text, colour, font(12))
    return picture


def is_drawable(shape: Sequence[int | None]) -> bool:
    """Whether examples of this shape are images: ``[height, width, channels]``."""
    return len(shape) == 3 and shape[-1] in (1, 3, 4)


def _cell(classes: int) -> int:
    if classes <= COUNTED:
        return max(24, min(44, 600 // classes))
    return max(1, 1000 // classes)


def _captioned(word: str, name: str, probability: float) -> str:
    """As much of the name as there is room for."""
    rest = f": {probability:.3f}"
    for length in range(min(len(name), LONGEST), 0, -1):
        text = f"{word} {short(name, length)}{rest}"
        if font(12).getlength(text) <= SIDE + MARGIN - 4:
            return text
    return word + rest
