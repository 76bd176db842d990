"""What convolutions and pooling share: the window that slides over an image."""

from __future__ import annotations

from typing import Any

from layers.base import Layer
from layers.errors import LayerError
from layers.specs import describe

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
