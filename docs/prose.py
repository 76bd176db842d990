"""Docstrings, which are reST with ``Args:`` and the like, as Markdown."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterator

from sources import Thing, find


def sections_of(doc: str) -> dict[str, str]:
    """The text, under "", and what stands under ``Args:`` and the like."""
    parts = re.split(r"^(Args|Returns|Raises):\n", doc, flags=re.MULTILINE)
    named = dict(zip(parts[1::2], map(textwrap.dedent, parts[2::2]), strict=True))
    return {"": parts[0].strip()} | named


def entries(text: str) -> Iterator[tuple[str, str]]:
    """``name: meaning`` of an ``Args:`` section."""
    for name, meaning in re.findall(r"^(\S[^:\n]*): (.*(?:\n(?:[ ].*|$))*)", text, re.MULTILINE):
        yield name, " ".join(meaning.split())


def summary(thing: Thing) -> str:
    """What it does, from the first paragraph, without shapes and sources."""
    first = " ".join(thing.doc.split("\n\n")[0].split()).removesuffix("::").removesuffix(":")
    first = re.sub(r",? \([^()]*\b(?:19|20)\d\d[^()]*\)", "", first)
    first = re.sub(r"[:,]? ?``\[[^`]*->[^`]*``", "", first).strip(" .:,")
    return f"{first}." if first else ""


def shapes(thing: Thing | None) -> str:
    """The first ``[…] -> …`` of its docstring, the shape it keeps, or what its base class says."""
    if thing is None or thing.name == "Layer":
        return ""
    text = " ".join(sections_of(thing.doc)[""].split())
    arrow = re.search(r"``(\[[^`]*->[^`]*?) ?``", text)
    if arrow and arrow[1].endswith("->"):  # and then words
        words = text[arrow.end() :].partition(".")[0]
        return f"`{arrow[1]}`{words}".replace("``", "`")
    if arrow:
        return f"`{arrow[1]}`"
    if other := re.search(r"Shapes .*those of ``(\w+)``", text):
        return shapes(find(thing.module, other[1]))
    kept = re.search(r"``(\[batch[^`]*\])``", text)
    return f"`{kept[1]}`" if kept else shapes(thing.base)


def markdown(text: str, links: Callable[[str], str]) -> str:
    """Prose with ``::`` blocks of code."""
    lines: list[str] = []
    code = False
    for paragraph in re.split(r"\n\s*\n", text.strip("\n")):
        if code and paragraph.startswith("    "):
            lines += ["```python", textwrap.dedent(paragraph).rstrip(), "```", ""]
            continue
        code = paragraph.endswith("::")
        lines += [links(paragraph.removesuffix("::") + (":" if code else "")), ""]
    return "\n".join(lines).strip()


def linker(names: set[str], own: str = "") -> Callable[[str], str]:
    """Makes Markdown's code of reST's, and links of the names of layers."""
    sections = {
        "layers.activations": "activations",
        "layers.initializers": "initial-values",
        "layers.losses": "losses",
        "layers.regularizers": "regularizers",
    }

    def code(found: re.Match[str]) -> str:
        text = found[1]
        name = text.removeprefix("layers.")
        if text in sections:
            return f"[`{text}`](#{sections[text]})"
        known = name in names and (name[0].isupper() or name != text) and name != own
        return f"[`{text}`](#{name.lower()})" if known else f"`{text.strip()}`"

    return lambda text: re.sub(r"``([^`]+)``", code, text)


def call_of(name: str, arguments: list[str], returns: str = "") -> str:
    """A call in a block of code, broken into lines between arguments where it is long."""
    lines, end = [f"{name}("], f"){returns}"
    for argument in [f"{argument}, " for argument in arguments[:-1]] + arguments[-1:]:
        if len(lines[-1] + argument + end) > 100:
            lines.append(" " * (len(name) + 1))
        lines[-1] += argument
    text = "\n".join(line.rstrip() for line in lines)
    return f"```python\n{text}{end}\n```"


def row(*cells: str) -> str:
    """A line of a table."""
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"


def explained(title: str, doc: dict[str, str], links: Callable[[str], str]) -> str:
    """A list of what stands under ``Args:`` or ``Raises:``."""
    begin = "- raises" if title == "Raises" else "-"
    return "\n".join(f"{begin} `{n}`: {links(text)}" for n, text in entries(doc.get(title, "")))
