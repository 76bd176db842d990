"""Reads a page of the docs: its blocks of code, and what is shown below each command."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[2] / "docs"


def blocks(text: str) -> list[tuple[str, str]]:
    """Language and text of each fenced block, in their order."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands(found: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Each command and what the block after it shows of its output."""
    return [
        (command.strip(), shown)
        for (language, command), (_, shown) in zip(found, found[1:], strict=False)
        if language == "bash"
    ]


def run_all(shell: Any, shown: Sequence[tuple[str, Any]]) -> list[Any]:
    """What came of each command; the training goes without XLA here, to be quicker."""
    train = ["trainer.compile=off"]
    return [
        shell.run(command, *(train if "pipeline.train" in command else [])) for command, _ in shown
    ]


def must_say(real: str, shown: str, constant: Callable[[str], str]) -> None:
    """Fail unless the lines shown are in the real output, in order; ``…`` stands for anything.

    Args:
        constant: takes out of a line what changes.
    """
    left = [constant(line) for line in real.splitlines()]
    for line in shown.splitlines():
        if line == "…":
            continue
        pattern = re.escape(constant(line)).replace("…", ".*")
        at = next((i for i, found in enumerate(left) if re.fullmatch(pattern, found)), None)
        assert at is not None, f"{line}\nis not in\n{real}"
        left = left[at + 1 :]
