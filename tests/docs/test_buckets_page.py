"""docs/data.md, on sequences of about one length: the commands say what the page shows."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from pages import DOCS, blocks, commands, must_say

PAGE = (DOCS / "data.md").read_text("utf-8")
(PART,) = re.findall(
    r"^## Sequences of about one length\n(.*?)^## ", PAGE, re.MULTILINE | re.DOTALL
)
BLOCKS = blocks(PART)
SHOWN = commands(BLOCKS)
CHANGING = re.compile(r"\b[0-9a-f]{32}\b|(?<![\w.])-?\d[\d,]*(?:\.\d+)?")


@pytest.fixture(scope="module")
def shell(new_shell: Callable[[], Any]) -> Any:
    """In a folder with the files of the section."""
    found = new_shell()
    for kind, text in BLOCKS:
        if kind == "python":
            found.write(text.split("\n")[0].removeprefix("# "), text)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "shown"),
    [SHOWN[0], pytest.param(*SHOWN[1], marks=pytest.mark.exhaustive)],
    ids=["data", "train"],
)
def test_command_says_what_the_page_shows(shell: Any, command: str, shown: str) -> None:
    outcome = shell.run(command)
    assert outcome.code == 0, outcome.err
    must_say(outcome.out + outcome.err, shown, _constant)


def test_each_output_is_of_a_command() -> None:
    assert [kind for kind, _ in BLOCKS] == ["python", *("bash", "text") * 2]


def _constant(line: str) -> str:
    """Without what differs from machine to machine: ids, numbers, spaces."""
    return " ".join(CHANGING.sub("#", line).split())
