"""The pages about layers and tasks: their code runs and prints what stands below it."""

from __future__ import annotations

import contextlib
import importlib
import io
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

import layers.testing

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ("dense-layer", "layer-with-state", "self-training-layer", "tasks", "your-own-layer")
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# (\S+/\S+\.(?:py|yaml))\b")  # a comment at the top names it
DECIMAL = re.compile(r"-?\d+\.\d+")


def blocks(page: str) -> list[tuple[str, str]]:
    """Language and text of every fenced block, in order."""
    return FENCE.findall((DOCS / f"{page}.md").read_text(encoding="utf-8"))


def run(page: str, folder: Path) -> list[tuple[str, str, str]]:
    """Every program of the page with what the page shows below it and what it prints."""
    parts = blocks(page)
    names: dict[str, Any] = {"__name__": "__main__"}
    done = []
    for (language, text), (next_language, next_text) in zip(
        parts, [*parts[1:], ("", "")], strict=True
    ):
        if file := FILE.match(text):
            (folder / file[1]).parent.mkdir(parents=True, exist_ok=True)
            (folder / file[1]).write_text(text, encoding="utf-8")
            _pass_if_a_test(file[1])
        elif language == "python":
            assert not done or "logical_devices(" not in text, "devices come first"
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                exec(compile(text, f"{page}.md", "exec"), names)
            done.append((text, next_text if next_language == "text" else "", printed.getvalue()))
    return done


def _pass_if_a_test(file: str) -> None:
    """Run the functions of a file that pytest would run."""
    if not Path(file).name.startswith("test_"):
        return
    module = importlib.import_module(file.removesuffix(".py").replace("/", "."))
    tests = [thing for name, thing in vars(module).items() if name.startswith("test_")]
    assert tests
    for test in tests:
        test()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An empty project, current and on the path of imports, as a reader's is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    # The session has made its devices.
    monkeypatch.setattr(layers.testing, "logical_devices", _there_are)
    yield tmp_path
    for name in [name for name in sys.modules if name.split(".")[0] == "mine"]:
        del sys.modules[name]


def _there_are(count: int) -> None:
    assert len(tf.config.list_logical_devices("CPU")) >= count


def same(shown: str, printed: str) -> bool:
    """Equal, but for the last digit of decimal numbers, which rounding may move by one."""
    if DECIMAL.sub("0.0", shown) != DECIMAL.sub("0.0", printed):
        return False
    return all(
        abs(float(a) - float(b)) < 1.5 * 10 ** -len(a.partition(".")[2])
        for a, b in zip(DECIMAL.findall(shown), DECIMAL.findall(printed), strict=True)
    )


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_code_of_the_page_prints_what_the_page_shows(page: str, folder: Path) -> None:
    done = run(page, folder)
    assert done
    for code, shown, printed in done:
        assert same(shown, printed), f"{code}\nshown:\n{shown}\nprinted:\n{printed}"


@pytest.mark.parametrize(
    ("shown", "printed", "equal"),
    [
        ("a 0.25 b -1.5\n", "a 0.26 b -1.4\n", True),
        ("a 0.25\n", "a 0.27\n", False),
        ("a 0.25\n", "b 0.25\n", False),
        ("12 rows\n", "13 rows\n", False),
        ("0.25\n", "0.25\n0.25\n", False),
    ],
)
def test_comparison_of_outputs_sees_what_differs(shown: str, printed: str, equal: bool) -> None:
    assert same(shown, printed) == equal
