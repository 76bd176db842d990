"""docs/sweeps.md: its commands are run in their order, and say what the page shows."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from pages import DOCS, blocks, commands, must_say, run_all

PAGE = (DOCS / "sweeps.md").read_text("utf-8")
SHOWN = commands(blocks(PAGE))
CHANGING = re.compile(r"\b[0-9a-f]{8}(?:[0-9a-f]{24})?\b|\b\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?\b")


@pytest.fixture(scope="module")
def outcomes(new_shell: Callable[[], Any]) -> list[Any]:
    return run_all(new_shell(), SHOWN)


@pytest.mark.exhaustive
@pytest.mark.parametrize("number", range(len(SHOWN)), ids=[c[-40:] for c, _ in SHOWN])
def test_command_says_what_the_page_shows(number: int, outcomes: list[Any]) -> None:
    shown, outcome = SHOWN[number][1], outcomes[number]
    assert outcome.code == (1 if "status=FAILED" in shown else 0), outcome.err
    must_say(outcome.out + outcome.err, shown, _constant)


def test_pictures_of_the_page_are_there() -> None:
    named = re.findall(r"\]\((images/[\w-]+\.png)\)", PAGE)
    assert len(named) == 5
    assert [name for name in named if not (DOCS / name).exists()] == []


def _constant(line: str) -> str:
    """Without what differs from machine to machine: numbers, ids, spaces."""
    return " ".join(CHANGING.sub("#", line).split())
