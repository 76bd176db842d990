"""Convolutions."""

from __future__ import annotations

import keras
import tensorflow as tf

import layers
from declared.kinds import FOUR, IMAGE, PIXELS, Parity, Wrong
from layers.testing import Case

CASES = [
    Case(layers.Conv2D, {"filters": 3, "kernel_size": [3, 2]}, IMAGE, variables=2),
    Case(
        layers.Conv2D,
        {"filters": 4, "kernel_size": 3, "strides": 2, "padding": "valid", "groups": 2},
        IMAGE,
        variables=2,
    ),
    Case(layers.Conv2D, {"filters": 3, "kernel_size": 3, "dilation": 2}, IMAGE, variables=2),
]

PARITY = [
    Parity(
        "convolution",
        lambda: layers.Conv2D(3, [3, 2]),
        lambda: keras.layers.Conv2D(3, [3, 2], padding="same"),
        IMAGE,
        ["w", "b"],
    ),
    Parity(
        "strided convolution",
        lambda: layers.Conv2D(3, 3, strides=2, padding="valid", activation="relu"),
        lambda: keras.layers.Conv2D(3, 3, strides=2, activation="relu"),
        IMAGE,
        ["w", "b"],
    ),
    Parity(
        "dilated convolution",
        lambda: layers.Conv2D(3, 3, dilation=2, use_bias=False),
        lambda: keras.layers.Conv2D(3, 3, dilation_rate=2, use_bias=False, padding="same"),
        IMAGE,
        ["w"],
    ),
    Parity(
        "grouped convolution",
        lambda: layers.Conv2D(6, 3, groups=2),
        lambda: keras.layers.Conv2D(6, 3, groups=2, padding="same"),
        IMAGE,
        ["w", "b"],
    ),
]

WRONG = [
    Wrong(
        lambda: layers.Conv2D(4, 0), "Conv2D: kernel_size must be a whole number, at least 1; got 0"
    ),
    Wrong(
        lambda: layers.Conv2D(4, [3, 3, 3]),
        "Conv2D: kernel_size must be one number or 2 of them; got [3, 3, 3]",
    ),
    Wrong(
        lambda: layers.Conv2D(4, 3, padding="smae"),
        "Conv2D: padding must be 'same' or 'valid'; got 'smae'. Did you mean 'same'?",
    ),
    Wrong(
        lambda: layers.Conv2D(4, 3, padding="full"),
        "Conv2D: padding must be 'same' or 'valid'; got 'full'. Valid: same, valid.",
    ),
    Wrong(
        lambda: layers.Conv2D(4, 3, strides=2, dilation=2),
        "Conv2D: strides [2, 2] and dilation [2, 2] cannot both be larger than 1",
    ),
    Wrong(lambda: layers.Conv2D(5, 3, groups=2), "Conv2D: 5 filters cannot be split into 2 groups"),
    Wrong(
        lambda: layers.Conv2D(4, 3),
        "at (Conv2D): expects [batch, height, width, channels] (rank 4), got [None, 4] float32",
        FOUR,
    ),
    Wrong(
        lambda: layers.Conv2D(4, 3, groups=2),
        "at (Conv2D): the channels of [None, 8, 8, 3] uint8 cannot be split into 2 groups",
        PIXELS,
    ),
    Wrong(
        lambda: layers.Conv2D(4, 5, padding="valid", dilation=2),
        "at (Conv2D): a window of [9, 9] does not fit into [None, 8, 8, 3] uint8; use a smaller "
        'window, fewer layers that shrink the image, or padding="same"',
        PIXELS,
    ),
    Wrong(
        lambda: layers.Conv2D(4, 3),
        "at (Conv2D): needs axis -1 of its input to be known when it is built, got "
        "[None, 8, 8, None] float32",
        tf.TensorSpec([None, 8, 8, None]),
    ),
]
