"""Attention, positions and the blocks of Transformers."""

from __future__ import annotations

import tensorflow as tf

import layers
from declared.kinds import FOUR, ROWS, SERIES, Wrong, target
from layers.testing import Case

LONG = tf.TensorSpec([None, 5, 4])
UNKNOWN = tf.TensorSpec([None, None, None])

CASES = [
    Case(layers.LearnedPositions, {"length": 3}, SERIES, variables=1),
    Case(layers.SinusoidalPositions, {}, tf.TensorSpec([None, 3, 5]), variables=0),
    Case(layers.MultiHeadAttention, {"heads": 2}, SERIES, variables=7),
    Case(
        layers.MultiHeadAttention,
        {
            "heads": 4,
            "head_units": 2,
            "key_value_heads": 2,
            "causal": True,
            "rotary": True,
            "dropout": 0.3,
        },
        SERIES,
        variables=8,
        random=True,
        more=(tf.TensorSpec([None, 5, 3]),),
    ),
    Case(layers.FeedForward, {"units": 6}, ROWS, variables=4),
    Case(layers.FeedForward, {"units": 6, "activation": "silu", "gated": True}, SERIES, 6),
    Case(layers.TransformerBlock, {"heads": 2, "units": 6, "causal": True}, SERIES, variables=15),
    Case(
        layers.TransformerBlock,
        {
            "heads": 2,
            "units": 6,
            "key_value_heads": 1,
            "rotary": True,
            "gated": True,
            "norm": "rms",
            "use_bias": False,
            "dropout": 0.2,
            "drop_path": 0.2,
        },
        SERIES,
        variables=9,
        random=True,
    ),
    Case(
        layers.Masked,
        {
            "layer": target(
                "Stack",
                layers={
                    "embed": target("Embedding", vocabulary=3, units=4),
                    "block": target("TransformerBlock", heads=2, units=6),
                },
            )
        },
        tf.TensorSpec([None, 4], tf.int32),
        variables=16,
        integers_below=3,
        label="TransformerBlock with a mask",
    ),
]

WRONG = [
    Wrong(
        lambda: layers.MultiHeadAttention(3),
        "at (MultiHeadAttention): 4 features cannot be divided among 3 heads; give another number "
        "of heads, or head_units",
        SERIES,
    ),
    Wrong(
        lambda: layers.MultiHeadAttention(4, key_value_heads=3),
        "MultiHeadAttention: heads must be a multiple of key_value_heads; got heads=4, "
        "key_value_heads=3",
    ),
    Wrong(
        lambda: layers.MultiHeadAttention(4, rotary=True),
        "at (MultiHeadAttention): rotary positions turn pairs of features, and a head has 1; give "
        "an even number of head_units",
        SERIES,
    ),
    Wrong(
        lambda: layers.MultiHeadAttention(2),
        "at (MultiHeadAttention): expects [batch, time, features] (rank 3), got [None, 4] float32",
        FOUR,
    ),
    Wrong(
        lambda: layers.MultiHeadAttention(2),
        "at (MultiHeadAttention): needs axis -1 of its input to be known when it is built, got "
        "[None, None, None] float32",
        UNKNOWN,
    ),
    Wrong(
        lambda: layers.MultiHeadAttention(2, dropout=1.0),
        "MultiHeadAttention: dropout must be a number in [0, 1); got 1.0",
    ),
    Wrong(
        lambda: layers.LearnedPositions(3),
        "at (LearnedPositions): has length=3 positions, got [None, 5, 4] float32; give it the "
        "length of the longest sequence",
        LONG,
    ),
    Wrong(
        lambda: layers.SinusoidalPositions(),
        "at (SinusoidalPositions): expects [batch, time, features] (rank 3), got [None, 4] float32",
        FOUR,
    ),
    Wrong(
        lambda: layers.FeedForward(0),
        "FeedForward: units must be a whole number, at least 1; got 0",
    ),
    Wrong(
        lambda: layers.TransformerBlock(2, 8, norm="layers"),
        "TransformerBlock: norm must be 'layer' or 'rms'; got 'layers'. Did you mean 'layer'?",
    ),
]
