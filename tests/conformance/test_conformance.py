"""Every layer of the table passes every check."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from table import CASES

import layers
from layers.testing import CHECKS, Case


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
@pytest.mark.parametrize("case", CASES, ids=str)
def test_layer(case: Case, check: Callable[[Case], None]) -> None:
    check(case)


def test_every_public_layer_is_in_the_table() -> None:
    public = {name for name in layers.__all__ if _is_layer(getattr(layers, name))}
    assert public - {case.layer.__name__ for case in CASES} == {"Layer"}


def _is_layer(thing: object) -> bool:
    return isinstance(thing, type) and issubclass(thing, layers.Layer)
