"""Golden checkpoints: what each layer's first declaration wrote once, and must read for ever.

    python tests/conformance/golden.py          writes those that are missing
    python tests/conformance/golden.py Dense    writes one again, after a change that breaks it

A checkpoint holds the layer's variables, inputs and the output that it gave. Breaking one breaks
every checkpoint of the layer's users: say so in CHANGELOG.md.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from layers import Layer
from layers.testing import Case

FOLDER = Path(__file__).parent / "golden"


def first_cases(cases: list[Case]) -> dict[str, Case]:
    """The first declaration of each layer, by the layer's name."""
    found: dict[str, Case] = {}
    for case in cases:
        found.setdefault(case.layer.__name__, case)
    return found


def checkpoint(layer: Layer, xs: Any, y: Any) -> tf.train.Checkpoint:
    """Variables, inputs and output in one checkpoint."""
    inputs, outputs = (
        {str(i): tf.Variable(part) for i, part in enumerate(tf.nest.flatten(nest))}
        for nest in (xs, y)
    )
    return tf.train.Checkpoint(model=layer, inputs=_Held(inputs), outputs=_Held(outputs))


class _Held(tf.Module):
    def __init__(self, variables: dict[str, tf.Variable]) -> None:
        super().__init__()
        self.held = variables


def write(case: Case) -> None:
    """Write the golden checkpoint of a declaration."""
    layer, xs = case.built(seed=1), case.examples(3)
    random = np.random.default_rng(2)
    for variable in layer.named_variables().values():
        if variable.dtype.is_floating:  # so that no bias is zero and no two scales are alike
            variable.assign(variable + random.uniform(0.1, 0.5, variable.shape))
    name = case.layer.__name__
    for old in FOLDER.glob(f"{name}.*"):
        old.unlink()
    checkpoint(layer, xs, layer(*xs)).write(str(FOLDER / name))


def main(names: list[str]) -> None:
    from declared import CASES

    FOLDER.mkdir(exist_ok=True)
    for name, case in first_cases(CASES).items():
        if name in names or not (FOLDER / f"{name}.index").exists():
            write(case)


if __name__ == "__main__":
    main(sys.argv[1:])
