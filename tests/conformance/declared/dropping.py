"""Layers that disturb what they are given in training."""

from __future__ import annotations

import layers
from declared.kinds import FOUR, IMAGE, ROWS, SERIES, Wrong
from layers.testing import Case

CASES = [
    Case(layers.Dropout, {"rate": 0.4}, ROWS, variables=0, random=True),
    Case(layers.SpatialDropout, {"rate": 0.4}, IMAGE, variables=0, random=True),
    Case(layers.DropPath, {"rate": 0.4}, SERIES, variables=0, random=True),
    Case(layers.GaussianNoise, {"deviation": 0.5}, ROWS, variables=0, random=True),
]

WRONG = [
    Wrong(lambda: layers.Dropout(1.0), "Dropout: rate must be a number in [0, 1); got 1.0"),
    Wrong(lambda: layers.Dropout(-0.1), "Dropout: rate must be a number in [0, 1); got -0.1"),
    Wrong(lambda: layers.DropPath(2), "DropPath: rate must be a number in [0, 1); got 2"),
    Wrong(
        lambda: layers.SpatialDropout(0.5),
        "at (SpatialDropout): expects [batch, places ..., channels] (rank 3 or more), got "
        "[None, 4] float32",
        FOUR,
    ),
    Wrong(
        lambda: layers.GaussianNoise(-1),
        "GaussianNoise: deviation must be a number in [0, inf); got -1",
    ),
    Wrong(
        lambda: layers.Dropout(float("nan")), "Dropout: rate must be a number in [0, 1); got nan"
    ),
]
