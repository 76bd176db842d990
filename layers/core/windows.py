"""What convolutions and pooling share: the window that slides over a series, image or volume."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from layers.core.base import Layer
from layers.core.errors import LayerError
from layers.core.specs import describe

PADDINGS = ("same", "valid")

# By the number of axes that the window slides over.
AXES = {
    1: "[batch, time, channels]",
    2: "[batch, height, width, channels]",
    3: "[batch, depth, height, width, channels]",
}
FORMATS = {1: "NWC", 2: "NHWC", 3: "NDHWC"}  # what TensorFlow calls them


def check_fit(
    layer: Layer, x: Any, window: tuple[int, ...], padding: str, dilation: tuple[int, ...]
) -> None:
    """Raise ``LayerError`` where ``window`` is larger than the image, so that nothing comes out."""
    if padding != "valid":
        return
    extents = [(size - 1) * step + 1 for size, step in zip(window, dilation, strict=True)]
    for size, extent in zip(x.shape[1:-1], extents, strict=True):
        if size is not None and size < extent:
            raise LayerError(
                f"{layer.label}: a window of {extents} does not fit into {describe(x)}; use a "
                'smaller window, fewer layers that shrink the image, or padding="same"'
            )


def with_any_batch(operation: Callable[[tf.Tensor], tf.Tensor], x: tf.Tensor) -> tf.Tensor:
    """``operation(x)``, where the batch may be empty.

    On an empty batch TensorFlow's oneDNN operations (2.21, on CPU) give convolutions a wrong shape
    and weights gradients that nobody wrote, and max pooling ends the process. So what may be empty
    is computed with an example of zeros behind it, which is there only where there is no other.
    """
    if x.shape[0]:  # known, and not empty
        return operation(x)
    # Neither tf.pad, which Grappler merges into the convolution, nor tf.cond, whose branches XLA
    # compiles with different shapes, and in which max pooling trains ten times slower.
    size = tf.shape(x)
    missing = tf.cast(tf.equal(size[:1], 0), tf.int32)
    zeros = tf.zeros(tf.concat([missing, size[1:]], 0), x.dtype)
    return operation(tf.concat([x, zeros], 0))[: size[0]]
