"""Layers that carry state between calls, layers that train themselves."""

from __future__ import annotations

import layers
from declared.kinds import ROWS, SERIES, target
from layers.testing import Case

CASES = [
    Case(
        layers.Stateful,
        {"cell": target("LSTMCell", units=3), "batch": 16},
        SERIES,
        variables=5,
        state=True,
    ),
    Case(
        layers.Stateful,
        {"cell": target("GRUCell", units=3), "batch": 16, "return_sequences": True},
        SERIES,
        variables=4,
        state=True,
    ),
    Case(
        layers.SelfTraining,
        {
            "layer": target("Dense", units=4, activation="tanh"),
            "head": target("Dense", units=3),
            "optimizer": {"_target_": "pipeline.training.optimizers.Adam"},
        },
        ROWS,
        variables=13,  # four weights, two slots for each, a count of updates
        state=True,
        labels=True,
    ),
    Case(
        layers.SelfTraining,
        {
            "layer": target("Dense", units=3),
            "optimizer": {"_target_": "pipeline.training.optimizers.SGD"},
            "clip_norm": 0.1,
        },
        ROWS,
        variables=3,
        state=True,
        labels=True,
    ),
]
