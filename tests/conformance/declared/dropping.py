"""Layers that disturb what they are given in training."""

from __future__ import annotations

import layers
from declared.kinds import ROWS, Wrong
from layers.testing import Case

CASES = [
    Case(layers.Dropout, {"rate": 0.4}, ROWS, variables=0, random=True),
]

WRONG = [
    Wrong(lambda: layers.Dropout(1.0), "Dropout: rate must be a number in [0, 1); got 1.0"),
    Wrong(lambda: layers.Dropout(-0.1), "Dropout: rate must be a number in [0, 1); got -0.1"),
    Wrong(
        lambda: layers.Dropout(float("nan")), "Dropout: rate must be a number in [0, 1); got nan"
    ),
]
