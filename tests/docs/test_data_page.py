"""docs/data.md: the commands of the sections below are run as printed, and say what is shown."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from pages import DOCS, blocks, commands, must_say

PAGE = (DOCS / "data.md").read_text("utf-8")
SECTIONS = ("Look at a dataset", "Preprocessing", "Augmentation", "Several sets, mixed")
PARTS = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
BLOCKS = [block for section in SECTIONS for block in blocks(PARTS[section])]
SHOWN = commands(BLOCKS)
NO_STEPS = {
    *("Batches", "Chain", "Inputs", "Preprocessing", "Step"),
    *("Augment", "Augmentation", "Mixed"),
}
NUMBER = re.compile(r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?")


@pytest.fixture(scope="module")
def outcomes(new_shell: Callable[[], Any]) -> list[Any]:
    """What came of each command, in a folder with the files of the page."""
    shell = new_shell()
    for kind, text in BLOCKS:
        if kind == "python":
            shell.write(text.split("\n")[0].removeprefix("# "), text)
    return [shell.run(command) for command, _ in SHOWN]


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(SHOWN)), ids=[c[:60] for c, _ in SHOWN])
def test_command_says_what_the_page_shows(number: int, outcomes: list[Any]) -> None:
    shown, outcome = SHOWN[number][1], outcomes[number]
    assert outcome.code == (2 if shown.startswith("error: ") else 0), outcome.err
    must_say(outcome.out + outcome.err, shown, _constant)


def test_each_output_is_of_a_command_and_each_picture_is_there() -> None:
    assert sum(kind == "text" for kind, _ in BLOCKS) == len(SHOWN) == 7
    named = re.findall(r"\]\(([^)#]+)\)", "".join(PARTS[section] for section in SECTIONS))
    assert "images/data-digits.png" in named
    assert [name for name in named if not (DOCS / name).exists()] == []


def test_every_preset_and_step_is_named() -> None:
    presets = {path.stem for path in (DOCS.parent / "conf" / "augment").glob("*.yaml")}
    assert {name for name in presets if f"| `{name}` |" not in PARTS["Augmentation"]} == set()
    for section in ("Preprocessing", "Augmentation"):
        folder = {"Preprocessing": "preprocess", "Augmentation": "augment"}[section]
        module = DOCS.parent / "pipeline" / "data" / folder / "__init__.py"
        names = re.findall(r'^    "([A-Z]\w+)",$', module.read_text("utf-8"), re.MULTILINE)
        assert len(names) > 10
        steps = set(names) - NO_STEPS
        assert {name for name in steps if not re.search(rf"`{name}\b", PARTS[section])} == set()


def _constant(line: str) -> str:
    """Without what differs from machine to machine: numbers and spaces."""
    return " ".join(NUMBER.sub("#", line).split())
