"""docs/data.md, on feeds: the commands are run in their order, and say what the page shows."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from pages import DOCS, blocks, commands, must_say, run_all

from pipeline.config import Dataset

PAGE = (DOCS / "data.md").read_text("utf-8")
SHOWN = commands(blocks(PAGE[PAGE.index("## In memory, or streamed") :]))
CHANGING = re.compile(r"\b[0-9a-f]{32}\b|\b\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)? (?:s|examples/s)\b")


@pytest.fixture(scope="module")
def outcomes(new_shell: Callable[[], Any]) -> list[Any]:
    return run_all(new_shell(), SHOWN)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(SHOWN)), ids=[c[-40:] for c, _ in SHOWN])
def test_command_says_what_the_page_shows(number: int, outcomes: list[Any]) -> None:
    shown, outcome = SHOWN[number][1], outcomes[number]
    assert outcome.code == 0, outcome.err
    must_say(outcome.out + outcome.err, shown, _constant)


def test_sizes_of_the_page_are_those_of_the_code() -> None:
    assert f"{Dataset.memory:,.0f} where nothing is said" in PAGE
    code = (DOCS.parent / "pipeline" / "data" / "stream.py").read_text("utf-8")
    assert "CHUNK_BYTES = 32 << 20 " in code
    assert "CHUNK_EXAMPLES = 1 << 14 " in code  # 16,384
    assert "AHEAD = 2 " in code  # and one that is trained on, and one that is being made
    assert "at most 32 MiB, 16,384 examples" in PAGE


def _constant(line: str) -> str:
    """Without what differs from machine to machine: times, ids, spaces."""
    return " ".join(CHANGING.sub("#", line).split())
