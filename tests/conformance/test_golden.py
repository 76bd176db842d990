"""Checkpoints that an earlier version wrote are read, and compute what they did."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from declared import CASES
from golden import FOLDER, checkpoint, first_cases

GOLDEN = first_cases(CASES)


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_checkpoint(name: str) -> None:
    case = GOLDEN[name]
    layer, xs = case.built(seed=3), case.examples(3)
    expected = layer(*xs)
    both = checkpoint(layer, xs, expected)
    both.read(str(FOLDER / name)).assert_consumed()
    inputs = tf.nest.pack_sequence_as(xs, list(both.inputs.held.values()))
    outputs = list(both.outputs.held.values())
    y = layer(*tf.nest.map_structure(tf.convert_to_tensor, inputs))
    for given, golden in zip(tf.nest.flatten(y), outputs, strict=True):
        np.testing.assert_allclose(given, golden, rtol=1e-5, atol=1e-5)


def test_every_golden_checkpoint_has_its_layer() -> None:
    assert {path.stem for path in FOLDER.glob("*.index")} == set(GOLDEN)
