"""Every layer that is declared passes every check, and every public layer is declared."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from declared import CASES

import layers
from layers.testing import CHECKS, Case

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


def test_every_public_layer_is_declared() -> None:
    public = {name for name in layers.__all__ if _is_layer(getattr(layers, name))}
    assert public - {case.layer.__name__ for case in CASES} == {"Layer", "Cell"}


def _is_layer(thing: object) -> bool:
    return isinstance(thing, type) and issubclass(thing, layers.Layer)
