"""RandAugment: for each image a few operations at random, all of one magnitude."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from pipeline.data.augment import checks
from pipeline.data.augment.colour import Bounds, clipped, grey
from pipeline.data.augment.geometry import chosen, resample, rotation
from pipeline.data.draw import Draw

OPERATIONS = (
    *("identity", "rotate", "shear_x", "shear_y", "translate_x", "translate_y"),
    *("brightness", "contrast", "sharpness", "auto_contrast", "solarize", "posterize"),
    "colour",  # last, since it takes three channels
)
LARGEST = 10.0  # magnitude, as in the paper's tables
DEGREES, SHEAR, TRANSLATION, FACTOR, BITS = 30.0, 0.3, 0.45, 0.9, 4.0  # at the largest magnitude


class RandAugment:
    """``count`` operations for each image, drawn evenly with replacement (Cubuk et al., 2020).

    The operations are 13 of the paper's 14: identity, rotate (up to 30 degrees), shear_x and
    shear_y (0.3), translate_x and translate_y (0.45 of the side), brightness, contrast and
    sharpness (factors 1 +- 0.9), auto_contrast, solarize (from threshold 256 down to 0), posterize
    (down to 4 bits), and colour, the saturation (factor 1 +- 0.9), where there are three channels.
    Left out is equalize. The numbers in brackets belong to magnitude 10 and shrink with it to
    nothing at 0; signs are drawn. The operations that move pixels come first, as one resampling
    whatever their number; what comes in from outside is the middle of the range.

    Images ``[batch, height, width, channels]``, in the range that ``low`` and ``high`` tell.

    Args:
        count: operations an image, at least 1.
        magnitude: from 0 to 10.
        low, high: the ends of the range of values; one number each, or one a channel.
    """

    def __init__(
        self,
        count: int = 2,
        magnitude: float = 9.0,
        low: float | Sequence[float] = 0.0,
        high: float | Sequence[float] = 1.0,
    ) -> None:
        self.count = checks.whole(self, "count", count, least=1)
        self.magnitude = checks.number(self, "magnitude", magnitude, 0, LARGEST)
        self.bounds = Bounds(self, low, high)

    def check(self, x: np.ndarray) -> None:
        """``ValueError`` unless the images ``[n, height, width, channels]`` are in the range."""
        self.bounds.check(x)

    def __call__(self, x: tf.Tensor, draw: Draw) -> tf.Tensor:
        _, _, channels = checks.images(self, x)
        names = operations(channels)
        kinds, signs = _kinds(draw, len(names), self.count), _signs(draw, self.count)
        strength = self.magnitude / LARGEST
        move = draw.computed(
            lambda draw: moves(
                _kinds(draw, len(names), self.count),
                strength * _signs(draw, self.count),
                x.shape[1:3],
            )
        )
        unit = resample(self.bounds.to_unit(x), move[..., :2], move[..., 2], fill=0.5)
        # A loop, since XLA would compute the first turn anew for each use of it in the second.
        _, unit = tf.while_loop(
            lambda turn, _: turn < self.count,
            lambda turn, unit: (
                turn + 1,
                toned(
                    unit, tf.gather(kinds, turn, axis=1), tf.gather(signs, turn, axis=1), strength
                ),
            ),
            (0, unit),
        )
        return tf.cast(self.bounds.from_unit(unit), x.dtype)

    def __repr__(self) -> str:
        return f"RandAugment(count={self.count}, magnitude={self.magnitude}, {self.bounds})"


def operations(channels: int) -> tuple[str, ...]:
    """Those that images of so many channels can have."""
    return OPERATIONS if channels == 3 else OPERATIONS[:-1]


def moves(kinds: tf.Tensor, amounts: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """For ``resample``, matrix and shift side by side: rotated, sheared, translated in turn.

    Args:
        kinds: int32 ``[batch, count]``, places in ``OPERATIONS``.
        amounts: float32 ``[batch, count]``, from -1 to 1.
        size: height and width of the images.

    Returns:
        float32 ``[batch, 2, 3]``.
    """

    def amount(name: str, largest: float, turn: int) -> tf.Tensor:
        return largest * tf.where(_is(kinds[:, turn], name), amounts[:, turn], 0.0)

    matrix = rotation(tf.zeros_like(amounts[:, 0]))
    shift = tf.zeros_like(matrix[:, 0])
    for turn in range(kinds.shape[1]):
        step = rotation(amount("rotate", math.radians(DEGREES), turn))
        down, along = amount("shear_y", SHEAR, turn), amount("shear_x", SHEAR, turn)
        nothing = tf.zeros_like(down)
        step += tf.stack([tf.stack([nothing, down], 1), tf.stack([along, nothing], 1)], 1)
        names = ("translate_y", "translate_x")
        by = [amount(n, TRANSLATION * side, turn) for n, side in zip(names, size, strict=True)]
        # The picture after this turn looks up its pixels in the picture before it.
        shift += tf.reduce_sum(matrix * tf.stack(by, 1)[:, None], 2)
        matrix = tf.reduce_sum(matrix[:, :, :, None] * step[:, None], 2)
    return tf.concat([matrix, shift[..., None]], 2)


def toned(unit: tf.Tensor, kind: tf.Tensor, sign: tf.Tensor, strength: float) -> tf.Tensor:
    """Images with the operation of ``kind`` on their colours, if it is one.

    Args:
        unit: images in 0..1.
        kind: int32 ``[batch]``, places in ``OPERATIONS``.
        sign: float32 ``[batch]``, -1 or 1.
        strength: from 0 to 1.
    """

    def amount(name: str) -> tf.Tensor:
        found = tf.where(_is(kind, name), FACTOR * strength * sign, 0.0)
        return found[:, None, None, None]

    # Factors: away from something, which for brightness is black, 0.
    plain = grey(unit)
    factor = 1.0 + amount("brightness") + amount("contrast")
    offset = -amount("contrast") * tf.reduce_mean(plain, [1, 2], keepdims=True)
    # Stretched from black to white, channel by channel.
    low, high = tf.reduce_min(unit, [1, 2], True), tf.reduce_max(unit, [1, 2], True)
    stretch = _is(kind, "auto_contrast")[:, None, None, None] & (high > low)
    factor = tf.where(stretch, 1.0 / tf.where(high > low, high - low, 1.0), factor)
    offset = tf.where(stretch, -low * factor, offset)
    changed = unit * factor + offset
    if unit.shape[-1] == 3:
        changed += amount("colour") * (unit - plain)
    changed += amount("sharpness") * (unit - smooth(unit))

    levels = tf.round(unit * 255.0)  # whole, so that rounding cannot lift one over a threshold
    step = 2.0 ** round(BITS * strength)
    fewer = tf.floor(levels / step) * (step / 255.0)
    changed = chosen(_is(kind, "posterize"), fewer, changed)
    bright = levels >= 256.0 * (1.0 - strength)
    inverted = chosen(bright, 1.0 - unit, unit)
    return clipped(chosen(_is(kind, "solarize"), inverted, changed))


def _kinds(draw: Draw, count: int, turns: int) -> tf.Tensor:
    return draw.named("operation").integers(count, (turns,))


def _signs(draw: Draw, turns: int) -> tf.Tensor:
    return 2.0 * tf.cast(draw.named("sign").integers(2, (turns,)), tf.float32) - 1.0


def _is(kind: tf.Tensor, name: str) -> tf.Tensor:
    return kind == OPERATIONS.index(name)


def smooth(unit: tf.Tensor) -> tf.Tensor:
    """Each pixel 5/13 itself and 1/13 each neighbour, but for the outermost: as Pillow's SMOOTH."""
    if min(unit.shape[1:3]) < 3:
        return unit
    rows = unit[:, :-2] + unit[:, 1:-1] + unit[:, 2:]
    box = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]
    inner = (box + 4.0 * unit[:, 1:-1, 1:-1]) / 13.0
    middle = tf.concat([unit[:, 1:-1, :1], inner, unit[:, 1:-1, -1:]], 2)
    return tf.concat([unit[:, :1], middle, unit[:, -1:]], 1)
