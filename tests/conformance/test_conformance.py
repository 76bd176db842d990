"""Every layer of the table passes every check.

One declaration a layer; a layer whose arguments change what it does has several.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import tensorflow as tf

import layers
from layers.testing import CHECKS, Case

IMAGE = tf.TensorSpec([None, 6, 5, 4])
ROWS = tf.TensorSpec([None, 5])
STATE = tf.TensorSpec([None, 3])
SERIES = tf.TensorSpec([None, 3, 4])
TOKENS = tf.TensorSpec([None, 6], tf.int32)


def target(name: str, **arguments: Any) -> dict[str, Any]:
    """A layer inside a layer, as a config has it."""
    return {"_target_": f"layers.{name}", **arguments}


BLOCK = target(
    "Stack",
    layers={
        "conv": target("Conv2D", filters=4, kernel_size=3, use_bias=False),
        "norm": target("BatchNorm"),
        "relu": target("Activation", function="relu"),
    },
)

CASES = [
    Case(layers.Dense, {"units": 3}, ROWS, variables=2),
    Case(layers.Dense, {"units": 3, "activation": "gelu", "use_bias": False}, SERIES, variables=1),
    Case(layers.Activation, {"function": "silu"}, ROWS, variables=0),
    Case(layers.Flatten, {}, IMAGE, variables=0),
    Case(layers.Reshape, {"shape": [2, -1]}, IMAGE, variables=0),
    Case(layers.Dropout, {"rate": 0.4}, ROWS, variables=0, random=True),
    Case(layers.Conv2D, {"filters": 3, "kernel_size": [3, 2]}, IMAGE, variables=2),
    Case(
        layers.Conv2D,
        {"filters": 4, "kernel_size": 3, "strides": 2, "padding": "valid", "groups": 2},
        IMAGE,
        variables=2,
    ),
    Case(layers.Conv2D, {"filters": 3, "kernel_size": 3, "dilation": 2}, IMAGE, variables=2),
    Case(layers.MaxPool2D, {}, IMAGE, variables=0),
    Case(layers.AvgPool2D, {"size": 3, "strides": 2, "padding": "same"}, IMAGE, variables=0),
    Case(layers.GlobalAvgPool2D, {}, IMAGE, variables=0),
    Case(layers.BatchNorm, {"momentum": 0.5}, IMAGE, variables=4, state=True),
    Case(
        layers.BatchNorm, {"use_scale": False, "use_offset": False}, ROWS, variables=2, state=True
    ),
    Case(layers.LayerNorm, {}, SERIES, variables=2),
    Case(layers.LayerNorm, {"axis": [1, 3]}, IMAGE, variables=2),
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


# Traced for two replicas, compiled or exported: a second declaration of a layer can wait for them.
HEAVY = {
    "check_built_on_first_call_equals_built_explicitly",
    "check_replicas_train_alike",
    "check_exported_model_serves_any_batch_size",
    "check_xla_equals_graph",
}


def _runs() -> Iterator[Any]:
    seen: set[type] = set()
    for case in CASES:
        for check in CHECKS:
            marks = []
            if check.__name__ in HEAVY:
                marks = [pytest.mark.exhaustive if case.layer in seen else pytest.mark.slow]
            elif case.layer in seen:
                marks = [pytest.mark.slow]
            name = f"{case}-{check.__name__.removeprefix('check_')}"
            yield pytest.param(case, check, id=name, marks=marks)
        seen.add(case.layer)


@pytest.mark.parametrize(("case", "check"), _runs())
def test_layer(case: Case, check: Callable[[Case], None]) -> None:
    check(case)


def test_every_public_layer_is_in_the_table() -> None:
    public = {name for name in layers.__all__ if _is_layer(getattr(layers, name))}
    assert public - {case.layer.__name__ for case in CASES} == {"Layer", "Cell"}


def _is_layer(thing: object) -> bool:
    return isinstance(thing, type) and issubclass(thing, layers.Layer)
