"""Layers made of layers."""

from __future__ import annotations

import layers
from declared.kinds import FOUR, IMAGE, ROWS, TOKENS, Wrong, target
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
    Case(
        layers.Repeat,
        {"layer": target("Residual", block=target("Dense", units=5)), "times": 3},
        ROWS,
        variables=6,
    ),
    Case(
        layers.Branches,
        {
            "layers": {
                "narrow": target("Conv2D", filters=2, kernel_size=1),
                "wide": target("Conv2D", filters=3, kernel_size=3),
            },
            "join": "concat",
        },
        IMAGE,
        variables=4,
    ),
    Case(
        layers.Branches,
        {"layers": [target("Dense", units=3), target("Dense", units=3)], "join": "mean"},
        ROWS,
        variables=4,
    ),
    Case(
        layers.Masked,
        {
            "layer": target(
                "Stack",
                layers={
                    "embed": target("Embedding", vocabulary=5, units=3),
                    "read": target("Recurrent", cell=target("GRUCell", units=4)),
                },
            )
        },
        TOKENS,
        variables=4,
        integers_below=5,
    ),
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
    Wrong(
        lambda: layers.Repeat(layers.Dense(2), times=0),
        "Repeat: times must be a whole number, at least 1; got 0",
    ),
    Wrong(
        lambda: layers.Branches({}),
        "Branches: needs at least one layer",
    ),
    Wrong(
        lambda: layers.Branches([layers.Dense(2)], join="sum"),
        "Branches: join must be 'add' or 'concat' or 'mean'; got 'sum'. Valid: add, concat, mean.",
    ),
    Wrong(
        lambda: layers.Branches({"a": layers.Dense(2), "b": layers.Dense(3)}),
        "at (Branches): outputs that differ cannot be joined by 'add': a: [None, 2] float32; "
        "b: [None, 3] float32",
        FOUR,
    ),
    Wrong(
        lambda: layers.Masked(layers.Embedding(4, 2)),
        "at (Masked): expects integer tokens, got [None, 4] float32",
        FOUR,
    ),
    Wrong(
        lambda: layers.Masked(layers.Stack({"embed": layers.Embedding(4, 2)})),
        "at/layer (Stack): is given a mask, and no layer in it takes one, so that the steps that "
        "do not count would count",
        TOKENS,
    ),
]
