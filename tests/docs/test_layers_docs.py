"""docs/: the catalogue is what the docstrings say, links lead somewhere, commands do what is shown.

The programs of the pages run in tests/layers/test_pages.py.
"""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).parents[2]
PAGES = sorted((PROJECT / "docs").glob("*.md"))
CATALOGUE = PROJECT / "docs" / "layers.md"
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# (\S+/\S+\.(?:py|yaml))\b")  # a comment at the top names it
CHANGING = re.compile(r"\b(?:[0-9a-f]{32}|\d[\d,]*\.\d+)\b")  # run ids and scores


def _generate(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(project / "docs" / "generate.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """What the catalogue is made of, to be changed."""
    for folder in ("docs", "layers", "conf/model"):
        shutil.copytree(PROJECT / folder, tmp_path / folder)
    return tmp_path


def test_pages_are_what_the_docstrings_say() -> None:
    done = _generate(PROJECT, "--check")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("source", "said", "page"),
    [
        ("layers/dense.py", "over the last axis", "layers.md"),
        ("layers/core/base.py", "shown in graphs and profiles", "layers.md"),
        ("layers/testing/replicas.py", "one shard uneven and one empty", "your-own-layer.md"),
    ],
)
def test_changed_docstring_is_noticed_and_written(
    copied: Path, source: str, said: str, page: str
) -> None:
    text = (copied / source).read_text()
    assert said in text
    (copied / source).write_text(text.replace(said, "ANOTHER"))
    done = _generate(copied, "--check")
    assert done.returncode == 1
    assert done.stderr == (
        f"docs/{page} is not what the docstrings say; run `python docs/generate.py`\n"
    )
    _generate(copied)
    assert "ANOTHER" in (copied / "docs" / page).read_text()
    assert _generate(copied, "--check").returncode == 0


def test_layer_without_a_section_is_said(copied: Path) -> None:
    (copied / "layers" / "new.py").write_text(
        "from layers.core.base import Layer\n\n\nclass New(Layer):\n    pass\n"
    )
    package = copied / "layers" / "__init__.py"
    text = package.read_text().replace("__all__ = [", '__all__ = [\n    "New",')
    package.write_text(
        text.replace("from layers.noise", "from layers.new import New\nfrom layers.noise")
    )
    done = _generate(copied, "--check")
    assert done.returncode == 1
    assert done.stderr == (
        "docs/generate.py: the layer New (layers.new) belongs to no section; add its file to "
        "SECTIONS\n"
    )


def test_every_public_name_has_an_entry_of_its_own() -> None:
    headings = re.findall(r"^#+ (.+)$", CATALOGUE.read_text(), re.MULTILINE)
    assert sorted({h for h in headings if headings.count(h) > 1}) == []
    for package in ("layers", "layers/nets", "layers/testing"):
        tree = ast.parse((PROJECT / package / "__init__.py").read_text())
        [exported] = [
            ast.literal_eval(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        ]
        assert {*exported} - {*headings} <= {"CHECKS"}, package


def test_table_has_a_row_for_every_layer_with_its_shapes() -> None:
    page = CATALOGUE.read_text()
    table = page[: page.index("## Every layer")]
    rows = re.findall(r"^\| \[(\w+)\]\(#\w+\) \| (.*) \| (.*) \|$", table, re.MULTILINE)
    entries = re.findall(r"^### (\w+)$", page[page.index("## Containers") :], re.MULTILINE)
    assert [name for name, _, _ in rows] == entries[: len(rows)]
    assert [name for name, _, shapes in rows if not shapes.strip()] == []


@pytest.mark.parametrize("page", [*PAGES, PROJECT / "experiments" / "README.md"], ids=str)
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text()):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            broken.append(link)
    assert broken == []


def _anchors(page: Path) -> set[str]:
    text = FENCE.sub("", page.read_text())
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page != CATALOGUE], ids=lambda p: p.stem
)
def test_every_block_is_one_that_is_run_written_or_compared(page: Path) -> None:
    before = ""
    for language, text in FENCE.findall(page.read_text()):
        if language == "text":
            assert before in ("python", "bash"), f"output of nothing: {text}"
        elif language == "yaml":
            assert FILE.match(text), f"a file without a name: {text}"
        else:
            assert language in ("bash", "python")
        before = language


@pytest.fixture(scope="module")
def shell(new_shell: Callable[[], Any]) -> Any:
    """One folder and one process for all pages."""
    return new_shell()


@pytest.mark.exhaustive
@pytest.mark.parametrize("page", ["dense-layer", "self-training-layer", "tasks"])
def test_commands_do_what_the_page_shows(page: str, shell: Any) -> None:
    blocks = FENCE.findall((PROJECT / "docs" / f"{page}.md").read_text())
    ran = 0
    for (language, text), (_, below) in zip(blocks, [*blocks[1:], ("", "")], strict=True):
        if file := FILE.match(text):
            shell.write(file[1], text)
        if language == "bash":
            outcome = shell.run(text.strip())
            assert outcome.code == (2 if "error:" in below else 0), outcome.err
            assert _shows(below, outcome.out + outcome.err), outcome.out + outcome.err
            ran += 1
    assert ran


def _shows(shown: str, real: str) -> bool:
    """Whether the lines shown are in the real output, in order; ``…`` stands for any lines."""
    lines = [re.escape(CHANGING.sub("#", line)) for line in shown.splitlines()]
    pattern = "".join("(?:.*\n)*" if line == "…" else f"{line}\n" for line in lines)
    return re.fullmatch(pattern, CHANGING.sub("#", real)) is not None


@pytest.mark.parametrize(
    ("shown", "equal"),
    [("a 0.5\n…\nc\n", True), ("…\nc\n", True), ("…\nb\n", False), ("b\nc\n", False)],
)
def test_comparison_of_outputs_sees_what_differs(shown: str, equal: bool) -> None:
    assert _shows(shown, "a 0.25\nb\nc\n") == equal
