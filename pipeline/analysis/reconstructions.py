"""What a model makes of images, below the images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from pipeline.analysis.drawing import BLACK, GREY, MARGIN, SIDE, WHITE, fitted, font, stretched

COLUMNS, GAP, CAPTION = 8, 4, 27  # pairs beside each other; pixels between and below the two


def pairs_picture(
    originals: np.ndarray, made: np.ndarray, captions: Sequence[str], title: str
) -> Image.Image:
    """Each original, below it what came out, and a line of text.

    Args:
        originals, made: ``[n, height, width, channels]`` in the same units, with 1, 3 or 4
            channels. They are stretched together, so that grey is the same grey in both.
        captions: of each, some 16 characters.
    """
    lines, height = -(-len(originals) // COLUMNS), 2 * SIDE + GAP + CAPTION
    size = (MARGIN + COLUMNS * (SIDE + MARGIN), 4 * MARGIN + lines * (height + MARGIN))
    picture = Image.new("RGB", size, WHITE)
    draw = ImageDraw.Draw(picture)
    draw.text((MARGIN, MARGIN), title, BLACK, font(15))
    # To the originals' range: a wild output is shown as black or white, not the rest as grey.
    low, high = (originals.min(), originals.max()) if originals.size else (0.0, 1.0)
    both = stretched(np.concatenate([originals, np.clip(made, low, high)]))
    for place, caption in enumerate(captions):
        row, column = divmod(place, COLUMNS)
        x, y = MARGIN + column * (SIDE + MARGIN), 4 * MARGIN + row * (height + MARGIN)
        for image in (both[place], both[len(originals) + place]):
            draw.rectangle((x, y, x + SIDE - 1, y + SIDE - 1), (235, 235, 235))
            shown = fitted(image)
            picture.paste(shown, (x + (SIDE - shown.width) // 2, y + (SIDE - shown.height) // 2))
            y += SIDE + GAP
        draw.text((x, y), caption, GREY, font(12))
    return picture
