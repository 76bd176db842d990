"""Pooling."""

from __future__ import annotations

import keras

import layers
from declared.kinds import FOUR, IMAGE, PIXELS, Parity, Wrong
from layers.testing import Case

CASES = [
    Case(layers.MaxPool2D, {}, IMAGE, variables=0),
    Case(layers.AvgPool2D, {"size": 3, "strides": 2, "padding": "same"}, IMAGE, variables=0),
    Case(layers.GlobalAvgPool2D, {}, IMAGE, variables=0),
]

PARITY = [
    Parity("max pool", lambda: layers.MaxPool2D(), lambda: keras.layers.MaxPool2D(), IMAGE, []),
    Parity(
        "overlapping max pool",
        lambda: layers.MaxPool2D(3, strides=2, padding="same"),
        lambda: keras.layers.MaxPool2D(3, strides=2, padding="same"),
        IMAGE,
        [],
    ),
    Parity(
        "average pool",
        lambda: layers.AvgPool2D([3, 2], strides=1, padding="same"),
        lambda: keras.layers.AvgPool2D([3, 2], strides=1, padding="same"),
        IMAGE,
        [],
    ),
    Parity(
        "global average pool",
        lambda: layers.GlobalAvgPool2D(),
        lambda: keras.layers.GlobalAveragePooling2D(),
        IMAGE,
        [],
    ),
]

WRONG = [
    Wrong(
        lambda: layers.MaxPool2D(2, strides=0),
        "MaxPool2D: strides must be a whole number, at least 1; got 0",
    ),
    Wrong(
        lambda: layers.MaxPool2D(),
        "at (MaxPool2D): expects [batch, height, width, channels] (rank 4), got [None, 4] float32",
        FOUR,
    ),
    Wrong(
        lambda: layers.AvgPool2D(9),
        "at (AvgPool2D): a window of [9, 9] does not fit into [None, 8, 8, 3] uint8; use a "
        'smaller window, fewer layers that shrink the image, or padding="same"',
        PIXELS,
    ),
    Wrong(
        lambda: layers.GlobalAvgPool2D(),
        "at (GlobalAvgPool2D): expects [batch, height, width, channels] (rank 4), got [None, 4] "
        "float32",
        FOUR,
    ),
]
