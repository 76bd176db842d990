"""Layers that keep or take statistics."""

from __future__ import annotations

import keras
import tensorflow as tf

import layers
from declared.kinds import FOUR, IMAGE, ROWS, SERIES, Parity, Wrong
from layers.testing import Case

CASES = [
    Case(layers.BatchNorm, {"momentum": 0.5}, IMAGE, variables=4, state=True),
    Case(
        layers.BatchNorm, {"use_scale": False, "use_offset": False}, ROWS, variables=2, state=True
    ),
    Case(layers.LayerNorm, {}, SERIES, variables=2),
    Case(layers.LayerNorm, {"axis": [1, 3]}, IMAGE, variables=2),
]

PARITY = [
    Parity(
        "batch norm",
        lambda: layers.BatchNorm(),
        lambda: keras.layers.BatchNormalization(),
        IMAGE,
        ["scale", "offset"],
    ),
    Parity(
        "layer norm",
        lambda: layers.LayerNorm(epsilon=1e-3),
        lambda: keras.layers.LayerNormalization(epsilon=1e-3),
        SERIES,
        ["scale", "offset"],
    ),
    Parity(
        "layer norm over two axes",
        lambda: layers.LayerNorm(axis=[1, 2], epsilon=1e-3),
        lambda: keras.layers.LayerNormalization(axis=[1, 2], epsilon=1e-3),
        SERIES,
        ["scale", "offset"],
    ),
]

WRONG = [
    Wrong(
        lambda: layers.BatchNorm(momentum=1),
        "BatchNorm: momentum must be a number in [0, 1); got 1",
    ),
    Wrong(
        lambda: layers.LayerNorm(epsilon=-1),
        "LayerNorm: epsilon must be a number in [0, inf); got -1",
    ),
    Wrong(
        lambda: layers.BatchNorm(),
        "at (BatchNorm): needs axis -1 of its input to be known when it is built, got "
        "[None, None] float32",
        tf.TensorSpec([None, None]),
    ),
    Wrong(
        lambda: layers.LayerNorm(axis=2),
        "at (LayerNorm): axis must be different axes of its input, not the batch's (0); got axis "
        "[2] for [None, 4] float32",
        FOUR,
    ),
    Wrong(
        lambda: layers.LayerNorm(axis=[1, -1]),
        "at (LayerNorm): axis must be different axes of its input, not the batch's (0); got axis "
        "[1, -1] for [None, 4] float32",
        FOUR,
    ),
]
