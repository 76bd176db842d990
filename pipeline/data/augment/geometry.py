"""Augmentation that moves pixels: flips, crops, rotations, and squares that are cut out.

Images are ``[batch, height, width, channels]``. Pixels are fetched by their indices, since the
kernels of TensorFlow that transform images cannot be compiled by XLA.
"""

from __future__ import annotations

import math

import tensorflow as tf

from pipeline.data.augment import checks
from pipeline.data.draw import Draw

MODES = ("zeros", "reflect")


class Flip:
    """Each image mirrored with probability 1/2.

    Args:
        horizontal: left and right change places.
        vertical: top and bottom change places; drawn apart, so a quarter of the images does both.
    """

    def __init__(self, horizontal: bool = True, vertical: bool = False) -> None:
        self.horizontal = bool(horizontal)
        self.vertical = bool(vertical)

    def __call__(self, x: tf.Tensor, draw: Draw) -> tf.Tensor:
        checks.images(self, x)
        for name, axis, asked in (
            ("horizontal", 2, self.horizontal),
            ("vertical", 1, self.vertical),
        ):
            if asked:
                x = chosen(draw.named(name).integers(2) == 1, tf.reverse(x, [axis]), x)
        return x

    def __repr__(self) -> str:
        return f"Flip(horizontal={self.horizontal}, vertical={self.vertical})"


class Crop:
    """Each image moved by up to ``padding`` pixels either way: padded, then cut to its size again.

    Args:
        padding: pixels added on each side.
        mode: what they are: ``zeros``, or ``reflect``: the image mirrored at its outermost pixels.
    """

    def __init__(self, padding: int, mode: str = "zeros") -> None:
        self.padding = checks.whole(self, "padding", padding)
        self.mode = mode
        if mode not in MODES:
            raise ValueError(f"Crop takes the mode {' or '.join(map(repr, MODES))}, not {mode!r}.")

    def __call__(self, x: tf.Tensor, draw: Draw) -> tf.Tensor:
        height, width, channels = checks.images(self, x)
        if self.mode == "reflect" and self.padding >= min(height, width):
            raise ValueError(
                f"Crop can reflect at most {min(height, width) - 1} pixels of images of "
                f"{height}x{width}, but padding is {self.padding}."
            )
        p = self.padding
        padded = tf.pad(
            x, [[0, 0], [p, p], [p, p], [0, 0]], "REFLECT" if self.mode == "reflect" else "CONSTANT"
        )
        corner = draw.integers(2 * p + 1, (2,))
        # Pixels by their places in all images: slices would be as many operations as examples.
        image = tf.range(tf.shape(x)[0])[:, None] * (height + 2 * p)
        rows = image + corner[:, :1] + tf.range(height)
        columns = corner[:, 1:] + tf.range(width)
        places = rows[:, :, None] * (width + 2 * p) + columns[:, None, :]
        return tf.gather(tf.reshape(padded, [-1, channels]), places)

    def __repr__(self) -> str:
        return f"Crop(padding={self.padding}, mode={self.mode!r})"


class Rotate:
    """Each image turned about its middle, by bilinear interpolation.

    Args:
        degrees: the most that it is turned, either way, from 0 to 180.
        fill: the value of what comes in from outside.
    """

    def __init__(self, degrees: float, fill: float = 0.0) -> None:
        self.degrees = checks.number(self, "degrees", degrees, 0, 180)
        self.fill = float(fill)

    def __call__(self, x: tf.Tensor, draw: Draw) -> tf.Tensor:
        checks.images(self, x)
        checks.floating(self, x)
        most = math.radians(self.degrees)
        turn = draw.computed(lambda draw: rotation(draw.uniform(low=-most, high=most)))
        return resample(x, turn, tf.zeros_like(turn[:, 0]), self.fill)

    def __repr__(self) -> str:
        return f"Rotate(degrees={self.degrees}, fill={self.fill})"


class Cutout:
    """A square of each image replaced by ``fill`` (DeVries and Taylor, 2017).

    Its middle is anywhere in the image, so that part of it may lie outside.

    Args:
        size: pixels of a side.
        fill: the value in the square; the paper's images have mean 0, and 0 is taken there.
    """

    def __init__(self, size: int, fill: float = 0.0) -> None:
        self.size = checks.whole(self, "size", size)
        self.fill = float(fill)

    def __call__(self, x: tf.Tensor, draw: Draw) -> tf.Tensor:
        height, width, _ = checks.images(self, x)
        top = draw.named("row").integers(height) - self.size // 2
        left = draw.named("column").integers(width) - self.size // 2
        cut = box(height, width, top, left, top + self.size, left + self.size)
        return chosen(cut, tf.fill(tf.shape(x), tf.cast(self.fill, x.dtype)), x)

    def __repr__(self) -> str:
        return f"Cutout(size={self.size}, fill={self.fill})"


def chosen(which: tf.Tensor, a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """``a`` where ``which`` holds, else ``b``; both ``[batch, ...]``.

    ``which`` is bool ``[batch]``, or has the axes of both, where an axis of 1 stands for any size.
    """
    if which.shape.rank > 1:
        which = tf.broadcast_to(which, tf.shape(a))
    # Not tf.where: its kernel for the CPU takes four times as long.
    return tf.compat.v1.where(which, a, b)


def box(
    height: int, width: int, top: tf.Tensor, left: tf.Tensor, bottom: tf.Tensor, right: tf.Tensor
) -> tf.Tensor:
    """bool [batch, height, width, 1]: from ``top`` and ``left`` up to, not with, the others."""
    rows, columns = tf.range(height), tf.range(width)
    inside_rows = (rows >= top[:, None]) & (rows < bottom[:, None])
    inside_columns = (columns >= left[:, None]) & (columns < right[:, None])
    return (inside_rows[:, :, None] & inside_columns[:, None, :])[..., None]


def rotation(angle: tf.Tensor) -> tf.Tensor:
    """``[batch, 2, 2]`` for ``resample``: the turn by ``angle`` [batch], in radians."""
    cos, sin = tf.cos(angle), tf.sin(angle)
    return tf.stack([tf.stack([cos, -sin], 1), tf.stack([sin, cos], 1)], 1)


def resample(x: tf.Tensor, matrix: tf.Tensor, shift: tf.Tensor, fill: float) -> tf.Tensor:
    """Images whose pixel at ``p`` is that of ``x`` at ``matrix p + shift``, interpolated.

    Places are (row, column) from the middle of the image; outside of it everything is ``fill``.

    Args:
        x: ``[batch, height, width, channels]``, sizes known.
        matrix: float32 ``[batch, 2, 2]``.
        shift: float32 ``[batch, 2]``, in pixels.
    """
    height, width, channels = x.shape[1:]
    middle = (height - 1) / 2, (width - 1) / 2
    down = (tf.range(height, dtype=tf.float32) - middle[0])[None, :, None]
    along = (tf.range(width, dtype=tf.float32) - middle[1])[None, None, :]

    def each(numbers: tf.Tensor) -> tf.Tensor:
        # Apart from the slice before: TensorFlow's optimizer loses new axes of a slice of a stack.
        return numbers[:, None, None]

    row, column = (
        each(matrix[:, i, 0]) * down + each(matrix[:, i, 1]) * along + each(shift[:, i] + middle[i])
        for i in (0, 1)
    )
    # With a frame of fill around it, what is further out is what is on the frame.
    framed = tf.pad(tf.cast(x, tf.float32), [[0, 0], [1, 1], [1, 1], [0, 0]], constant_values=fill)
    row = tf.clip_by_value(row + 1.0, 0.0, height + 1.0)
    column = tf.clip_by_value(column + 1.0, 0.0, width + 1.0)
    top = tf.minimum(tf.floor(row), float(height))
    left = tf.minimum(tf.floor(column), float(width))
    below, beside = (row - top)[..., None], (column - left)[..., None]

    pixels = tf.reshape(framed, [-1, channels])
    image = tf.range(tf.shape(x)[0])[:, None, None] * (height + 2)
    first = (image + tf.cast(top, tf.int32)) * (width + 2) + tf.cast(left, tf.int32)
    upper = _between(tf.gather(pixels, first), tf.gather(pixels, first + 1), beside)
    first += width + 2
    lower = _between(tf.gather(pixels, first), tf.gather(pixels, first + 1), beside)
    return tf.cast(_between(upper, lower, below), x.dtype)


def _between(a: tf.Tensor, b: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
    return a + (b - a) * share
