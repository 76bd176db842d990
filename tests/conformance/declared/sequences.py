"""Tokens and series."""

from __future__ import annotations

import tensorflow as tf

import layers
from declared.kinds import FOUR, ROWS, SERIES, STATE, TOKENS, Wrong, target
from layers.testing import Case

CASES = [
    Case(layers.Embedding, {"vocabulary": 5, "units": 3}, TOKENS, variables=1, integers_below=5),
    *(
        Case(cell, {"units": 3}, ROWS, variables=3, more=(state,))
        for cell, state in (
            (layers.RNNCell, STATE),
            (layers.GRUCell, STATE),
            (layers.LSTMCell, (STATE, STATE)),
        )
    ),
    Case(layers.Recurrent, {"cell": target("GRUCell", units=3)}, SERIES, variables=3),
    Case(
        layers.Recurrent,
        {"cell": target("LSTMCell", units=3), "return_sequences": True, "reverse": True},
        tf.TensorSpec([None, 18, 4]),  # too long to be unrolled
        variables=3,
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
]
