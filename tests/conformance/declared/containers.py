"""Layers made of layers."""

from __future__ import annotations

import layers
from declared.kinds import IMAGE, ROWS, Wrong, target
from layers.testing import Case

BLOCK = target(
    "Stack",
    layers={
        "conv": target("Conv2D", filters=4, kernel_size=3, use_bias=False),
        "norm": target("BatchNorm"),
        "relu": target("Activation", function="relu"),
    },
)
CASES = [
    Case(
        layers.Stack,
        {"layers": {"hidden": target("Dense", units=4), "out": target("Dense", units=2)}},
        ROWS,
        variables=4,
    ),
    Case(
        layers.Residual,
        {"block": target("Dense", units=3), "shortcut": target("Dense", units=3)},
        ROWS,
        variables=4,
    ),
    Case(layers.Residual, {"block": BLOCK}, IMAGE, variables=5, state=True),
]

WRONG = [
    Wrong(
        lambda: layers.Stack({"a": 3}),
        "Stack: layers.a must be a Layer, got 3; a function becomes a layer by "
        "Activation(function)",
    ),
    Wrong(
        lambda: layers.Stack({"a/b": layers.Dense(2)}),
        "Stack: 'a/b' cannot name a layer; a name is not empty and has no /",
    ),
    Wrong(
        lambda: layers.Residual("x"),
        "Residual: block must be a Layer, got 'x'; a function becomes a layer by "
        "Activation(function)",
    ),
]
