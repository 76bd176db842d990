"""Every layer that is declared passes every check, and every public layer is declared."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from declared import CASES

import layers
from layers.testing import CHECKS, Case

# The quick tier: what finds most mistakes soonest, of the first declaration of each layer.
QUICK = {
    "check_variables_are_all_found",
    "check_evaluation_is_pure",
    "check_traced_equals_eager_at_all_batch_sizes",
    "check_gradients_equal_finite_differences",
    "check_wrong_inputs_are_explained",
}
# Seconds of tracing and compiling for each layer.
EXHAUSTIVE = {
    "check_built_on_first_call_equals_built_explicitly",
    "check_exported_model_serves_any_batch_size",
    "check_xla_equals_graph",
}
# What a further declaration of a layer changes most; the rest of it is left to the last tier.
ARITHMETIC = "check_gradients_equal_finite_differences"
LARGE = 10  # variables: whole blocks and nets take seconds in each check


def _runs() -> Iterator[Any]:
    seen: set[type] = set()
    for case in CASES:
        for check in CHECKS:
            name = check.__name__
            marks = []
            if name in EXHAUSTIVE or (case.layer in seen and name != ARITHMETIC):
                marks = [pytest.mark.exhaustive]
            elif name not in QUICK or case.layer in seen or case.variables > LARGE:
                marks = [pytest.mark.slow]
            label = f"{case}-{name.removeprefix('check_')}"
            yield pytest.param(case, check, id=label, marks=marks)
        seen.add(case.layer)


@pytest.mark.parametrize(("case", "check"), _runs())
def test_layer(case: Case, check: Callable[[Case], None]) -> None:
    check(case)


def test_every_public_layer_is_declared() -> None:
    public = {name for name in layers.__all__ if _is_layer(getattr(layers, name))}
    assert public - {case.layer.__name__ for case in CASES} == {"Layer", "Cell"}


def _is_layer(thing: object) -> bool:
    return isinstance(thing, type) and issubclass(thing, layers.Layer)
