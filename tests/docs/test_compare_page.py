"""docs/compare.md: its commands are run in their order, and say what the page shows."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from pages import DOCS, blocks, run_all

from pipeline.compare import Flags

PAGE = (DOCS / "compare.md").read_text("utf-8")
BLOCKS = blocks(PAGE)
SHOWN = [
    (command.strip(), below if language == "text" else None)
    for (kind, command), (language, below) in zip(BLOCKS, [*BLOCKS[1:], ("", "")], strict=True)
    if kind == "bash"
]
CHANGING = re.compile(r"\b[0-9a-f]{8}\b|[+-]?\b\d[\d,]*(\.\d+)?(e-?\d+)?\b")


@pytest.fixture(scope="module")
def outcomes(new_shell: Callable[[], Any]) -> dict[str, Any]:
    done = run_all(new_shell(), SHOWN)
    return {command: outcome for (command, _), outcome in zip(SHOWN, done, strict=True)}


@pytest.mark.exhaustive
@pytest.mark.parametrize(("command", "shown"), SHOWN, ids=[command[-30:] for command, _ in SHOWN])
def test_command_says_what_the_page_shows(
    command: str, shown: str | None, outcomes: dict[str, Any]
) -> None:
    outcome = outcomes[command]
    assert outcome.code == (2 if shown and "error:" in shown else 0), outcome.err
    real = [_constant(line) for line in (outcome.out + outcome.err).splitlines()]
    for line in (shown or "").splitlines():
        if line == "…" or "|" in line:  # a drawing
            continue
        assert _constant(line) in real, outcome.out
        real = real[real.index(_constant(line)) + 1 :]


def test_flags_of_the_page_are_those_there_are() -> None:
    named = set(re.findall(r"--\w+", PAGE.split("## Filters")[0].split("| word or flag")[1]))
    assert named == set(Flags()._option_string_actions)


def _constant(line: str) -> str:
    """Without what differs from machine to machine: numbers, ids, spaces, which test was made and
    how many seeds would settle it."""
    line = re.sub(r" (paired t|sign flips) .*", "", line)
    line = re.sub(r"(with 3 seeds); .*", r"\1", line)
    return " ".join(CHANGING.sub("#", line).split())
