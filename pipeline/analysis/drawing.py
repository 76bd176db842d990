"""What pictures are made of: colours, measures, letters, and images fitted into their place."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

WHITE, BLACK, GREY, BLUE = (255, 255, 255), (20, 20, 20), (110, 110, 110), (8, 69, 148)
MARGIN = 12  # pixels
LONGEST = 24  # characters of a class's name that are shown
SIDE = 112  # pixels of an image's place


def stretched(images: np.ndarray) -> np.ndarray:
    """The same in uint8, the smallest value black and the largest white."""
    values = images.astype(np.float64)
    low, high = (values.min(), values.max()) if values.size else (0.0, 0.0)
    scaled = (values - low) / (high - low if high > low else 1.0)
    return np.round(scaled * 255).astype(np.uint8)


def fitted(image: np.ndarray) -> Image.Image:
    """``[height, width, channels]`` in uint8, 1, 3 or 4 channels, as large as its place.

    Small pixels are kept apart.
    """
    whole = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).convert("RGB")
    factor = SIDE / max(whole.size)
    size = (max(1, round(whole.width * factor)), max(1, round(whole.height * factor)))
    how = Image.Resampling.NEAREST if factor >= 1 else Image.Resampling.BOX
    return whole.resize(size, how)


def short(name: str, longest: int = LONGEST) -> str:
    """As many characters as are shown, with an ellipsis for the rest."""
    return name if len(name) <= longest else name[: max(1, longest - 1)] + "\u2026"


def sideways(
    picture: Image.Image,
    text: str,
    place: tuple[int, int],
    letters: ImageFont.FreeTypeFont,
    colour: tuple[int, int, int],
    above: bool = False,
) -> None:
    """``text`` read from below, from ``place`` on: down from it, or up to it where ``above``."""
    width, height = round(letters.getlength(text)) + 2, round(letters.size * 1.3)
    strip = Image.new("RGB", (width, height), WHITE)
    ImageDraw.Draw(strip).text((0, 0), text, colour, letters)
    x, y = place
    picture.paste(strip.rotate(90, expand=True), (x, y - width if above else y))


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which knows most alphabets, from matplotlib's files; MLflow installs it.

    matplotlib is not imported for it. Pillow's own font knows plain Latin letters only.
    """
    found = importlib.util.find_spec("matplotlib")
    if found is not None and found.origin:
        file = Path(found.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
        if file.exists():
            return ImageFont.truetype(file, size)
    plain = ImageFont.load_default(size)
    assert isinstance(plain, ImageFont.FreeTypeFont)
    return plain
