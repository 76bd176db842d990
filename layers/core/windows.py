"""What convolutions and pooling share: the window that slides over an image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from layers.core.base import Layer
from layers.core.errors import LayerError
from layers.core.specs import describe

PADDINGS = ("same", "valid")


def check_fit(
    layer: Layer, x: Any, window: tuple[int, ...], padding: str, dilation: tuple[int, ...]
) -> None:
    """Raise ``LayerError`` where ``window`` is larger than the image, so that nothing comes out."""
    if padding == "same":
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

    TensorFlow's oneDNN convolutions (2.21, on CPU) answer an empty batch with the input's shape and
    fail in the backward pass, so an empty shard takes the shape from one example of zeros.
    """
    if x.shape[0]:  # known, and not empty
        return operation(x)

    # Not tf.pad in place of the condition: Grappler merges it into the convolution.
    def none_of_one() -> tf.Tensor:
        return operation(tf.zeros(tf.concat([[1], tf.shape(x)[1:]], 0), x.dtype))[:0]

    return tf.cond(tf.equal(tf.shape(x)[0], 0), none_of_one, lambda: operation(x))
