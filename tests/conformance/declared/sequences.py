"""Tokens and series."""

from __future__ import annotations

import tensorflow as tf

import layers
from declared.kinds import FOUR, ROWS, SERIES, STATE, TOKENS, Wrong, target
from layers.testing import Case

CASES = [
    Case(layers.Embedding, {"vocabulary": 5, "units": 3}, TOKENS, variables=1, integers_below=5),
    Case(
        layers.Unembedding,
        {"embedding": target("Embedding", vocabulary=5, units=4)},
        SERIES,
        variables=1,
    ),
    *(
        Case(cell, {"units": 3}, ROWS, variables=3, more=(state,))
        for cell, state in (
            (layers.RNNCell, STATE),
            (layers.GRUCell, STATE),
            (layers.LSTMCell, (STATE, STATE)),
        )
    ),
    Case(
        layers.StackedCells,
        {"cells": [target("LSTMCell", units=3), target("RNNCell", units=3)]},
        ROWS,
        variables=6,
        more=(((STATE, STATE), STATE),),
    ),
    Case(layers.Recurrent, {"cell": target("GRUCell", units=3)}, SERIES, variables=3),
    Case(
        layers.Recurrent,
        {"cell": target("LSTMCell", units=3), "return_sequences": True, "reverse": True},
        tf.TensorSpec([None, 18, 4]),  # too long to be unrolled
        variables=3,
    ),
    Case(
        layers.Recurrent,
        {"cell": target("StackedCells", cells=[target("GRUCell", units=3)] * 2)},
        SERIES,
        variables=6,
    ),
    Case(
        layers.Stateful,
        {
            "cell": target(
                "StackedCells", cells=[target("LSTMCell", units=3), target("GRUCell", units=2)]
            ),
            "batch": 16,
        },
        SERIES,
        variables=9,
        state=True,
    ),
    Case(
        layers.Bidirectional,
        {"forward": target("GRUCell", units=3), "backward": target("LSTMCell", units=2)},
        SERIES,
        variables=6,
    ),
]

WRONG = [
    Wrong(
        lambda: layers.Embedding(0, 3),
        "Embedding: vocabulary must be a whole number, at least 1; got 0",
    ),
    Wrong(
        lambda: layers.Embedding(4, 2),
        "at (Embedding): expects integer tokens, got [None, 4] float32",
        FOUR,
    ),
    Wrong(
        lambda: layers.Unembedding(layers.Dense(3)),
        "Unembedding: embedding must be an Embedding, got Dense",
    ),
    Wrong(
        lambda: layers.Unembedding(layers.Embedding(5, 3)),
        "at (Unembedding): was built for a last axis of 3, got [None, 4] float32",
        FOUR,
    ),
    Wrong(
        lambda: layers.StackedCells([layers.GRUCell(3), layers.Dense(3)]),
        "StackedCells: cells.1 must be a Cell such as layers.GRUCell, got Dense",
    ),
    Wrong(
        lambda: layers.StackedCells([]),
        "StackedCells: cells must be one cell at least; got none",
    ),
    Wrong(
        lambda: layers.Bidirectional(layers.GRUCell(3), layers.GRUCell(2), join="add"),
        "Bidirectional: join='add' needs cells with the same number of units, got 3 forward and "
        "2 backward; join='concat' takes any",
    ),
    Wrong(
        lambda: layers.Bidirectional(layers.GRUCell(3), layers.GRUCell(3), join="sum"),
        "Bidirectional: join must be 'concat' or 'add' or 'mean'; got 'sum'. Valid: add, concat, "
        "mean.",
    ),
]
