"""The fenced blocks of a Markdown page, and a comparison of shown output with real output."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What differs from run to run and machine to machine: run ids and numbers, but not in names.
CHANGING = re.compile(r"\b(?:[0-9a-f]{32}|\d[\d,]*(?:\.\d+)?)\b")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, text, and the line of the page that it begins at."""

    language: str
    text: str
    line: int

    @property
    def file(self) -> str | None:
        """The path in the first line (``# configs/experiment/wide.yaml``) of a file's content."""
        named = re.match(r"# (\S+/\S+\.(?:py|yaml))\n", self.text)
        return named[1] if named else None

    @property
    def commands(self) -> list[str]:
        """The commands of a bash block, one a line; comments left out."""
        if self.language != "bash":
            return []
        return [line for line in self.text.splitlines() if line and not line.startswith("#")]


def blocks(page: Path) -> list[Block]:
    """Every fenced block, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(found[1], found[2], text[: found.start()].count("\n") + 1)
        for found in FENCE.finditer(text)
    ]


def shown_after(page: Path, command: str) -> str:
    """The output that the page shows for a command: the next text block."""
    found = blocks(page)
    at = next(i for i, block in enumerate(found) if command in block.commands)
    assert found[at + 1].language == "text", f"{page.name} shows no output of {command}"
    return found[at + 1].text


def missing_lines(shown: str, real: str) -> list[str]:
    """The lines shown that the real output lacks, or has in another order.

    ``…`` stands for anything, as a line or within one; any number for any number; any run of
    spaces for any other.
    """
    rest, missing = [" ".join(line.split()) for line in real.splitlines()], []
    for line in shown.splitlines():
        pattern = re.compile(_pattern(" ".join(line.split())))
        at = next((i for i, candidate in enumerate(rest) if pattern.fullmatch(candidate)), None)
        if line.strip() == "…":
            continue
        if at is None:
            missing.append(line)
        else:
            rest = rest[at + 1 :]
    return missing


def _pattern(line: str) -> str:
    parts = []
    for piece in line.split("…"):
        fixed = [re.escape(text) for text in CHANGING.split(piece)]
        parts.append(CHANGING.pattern.join(fixed))
    return ".*".join(parts)
