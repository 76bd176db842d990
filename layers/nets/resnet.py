"""Residual networks for images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from layers.activation import Activation
from layers.batch_norm import BatchNorm
from layers.containers import Residual, Stack
from layers.convolution import Conv2D
from layers.core.arguments import choice, whole
from layers.core.base import Layer
from layers.core.errors import LayerError
from layers.pooling import MaxPool2D

STEMS = ("large", "small")


class ResNet(Stack):
    """The convolutions of a residual network (He et al. 2016), without its head.

    ``[batch, height, width, channels] -> [batch, height', width', filters']``. It is a ``Stack`` of
    ``stem``, ``stage1``, ``stage2``, …; each stage halves height and width, but for the first, and
    has twice the filters of the one before. ``blocks=[2, 2, 2, 2]`` is ResNet-18, with
    ``[3, 4, 6, 3]`` it is ResNet-34; with ``[n, n, n]``, ``filters=16`` and the small stem it is
    the one of ``6n + 2`` layers that they made for CIFAR, here with convolutions in the shortcuts.

    Args:
        blocks: how many blocks of two convolutions each stage has.
        filters: of the first stage.
        stem: ``large``: a 7×7 convolution and a pool, which quarter the image; ``small``: a 3×3
            convolution, for images of some 32×32 and less.
    """

    def __init__(
        self, blocks: Sequence[int], filters: int = 64, stem: str = "large", **options: Any
    ) -> None:
        super().__init__({}, **options)
        if isinstance(blocks, str) or not isinstance(blocks, Sequence) or not blocks:
            raise LayerError(
                f"{self.label}: blocks must be a list, the number of blocks in each stage; got "
                f"{blocks!r}"
            )
        counts = [whole(self, "blocks", count) for count in blocks]
        whole(self, "filters", filters)
        self.layers["stem"] = _stem(filters, choice(self, "stem", stem, STEMS))
        for index, count in enumerate(counts):
            width = filters * 2**index
            stride = 1 if index == 0 else 2
            # The stem gives the first stage its filters, so that its way around needs no change.
            first = _block(width, stride, project=stride > 1)
            rest = [_block(width, 1, project=False) for _ in range(count - 1)]
            self.layers[f"stage{index + 1}"] = Stack([first, *rest])


def _stem(filters: int, kind: str) -> Stack:
    large = kind == "large"
    return Stack(
        {
            "conv": Conv2D(filters, 7 if large else 3, strides=2 if large else 1, use_bias=False),
            "norm": BatchNorm(),
            "relu": Activation("relu"),
            "pool": MaxPool2D(3, strides=2, padding="same") if large else None,
        }
    )


def _block(filters: int, stride: int, project: bool) -> Layer:
    """Two convolutions and the way around them, then relu."""
    inside = Stack(
        {
            "conv1": Conv2D(filters, 3, strides=stride, use_bias=False),
            "norm1": BatchNorm(),
            "relu": Activation("relu"),
            "conv2": Conv2D(filters, 3, use_bias=False),
            "norm2": BatchNorm(),
        }
    )
    shortcut = Stack(
        {"conv": Conv2D(filters, 1, strides=stride, use_bias=False), "norm": BatchNorm()}
    )
    return Stack(
        {
            "sum": Residual(inside, shortcut if project else None),
            "relu": Activation("relu"),
        }
    )
