"""Who may know whom. The lines are those of the design; a change of them is a decision."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
FILES = sorted([*(PROJECT / "layers").rglob("*.py"), *(PROJECT / "pipeline").rglob("*.py")])
COMMAND_LINE = {
    "cli",
    "composing",
    "composition_errors",
    "config",
    "config_files",
    "sweep",
    "trial",
    "preflight",
}
VERBS = {
    "train",
    "evaluate",
    "reproduce",
    "compare",
    "report",
    "export",
    "prepare",
    "describe_data",
    "doctor",
    "ui",
}


def _name(path: Path) -> str:
    parts = path.relative_to(PROJECT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {_name(path) for path in FILES}


@cache
def _imports(path: Path, everywhere: bool = True) -> set[str]:
    """Modules that a file imports; without ``everywhere`` only when it is loaded itself."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = ast.walk(tree) if everywhere else iter(tree.body)
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            members = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = members & MODULES
            found |= modules or {
                node.module
            }  # `from layers import base` needs layers.core.base only
    return found


def _importers(package: str) -> set[str]:
    return {
        _name(path)
        for path in FILES
        if any(name == package or name.startswith(f"{package}.") for name in _imports(path))
    }


def _room(name: str) -> str:
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else parts[0]


def test_layers_import_nothing_of_the_pipeline() -> None:
    assert not {name for name in _importers("pipeline") if name.startswith("layers")}


@pytest.mark.parametrize("room", ["training", "data"])
def test_training_and_data_do_not_know_tracking(room: str) -> None:
    assert not {name for name in _importers("pipeline.tracking") if _room(name) == room}


@pytest.mark.parametrize("room", ["training", "data", "analysis"])
def test_rooms_do_not_know_the_verbs_above_them(room: str) -> None:
    above = {*(f"pipeline.{name}" for name in VERBS), "pipeline.cli", "pipeline.console"}
    knowing = {name for verb in above for name in _importers(verb) if _room(name) == room}
    # What `python -m pipeline.data` runs; nothing imports it.
    assert knowing - {"pipeline.data.__main__"} == set()
    assert not _importers("pipeline.data.__main__")


def test_only_tracking_imports_mlflow() -> None:
    assert {_room(name) for name in _importers("mlflow")} == {"tracking"}


def test_only_the_command_line_knows_hydra() -> None:
    known = {_room(name) for name in _importers("hydra") if name.startswith("pipeline")}
    assert known <= COMMAND_LINE | VERBS | {"instantiating", "searching"}
    assert not {name for name in _importers("hydra") if name.startswith("layers")} - {
        "layers.testing.saving"
    }


def test_only_the_console_prints() -> None:
    printing = set()
    for path in FILES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if any(
            isinstance(node, ast.Call) and getattr(node.func, "id", None) == "print"
            for node in ast.walk(tree)
        ):
            printing.add(_name(path))
    assert printing == {"pipeline.console"}


def test_config_modules_load_no_heavy_package() -> None:
    heavy = ("tensorflow", "mlflow", "numpy", "layers", "rich")
    for path in FILES:
        if _room(_name(path)) in COMMAND_LINE | VERBS | {"console", "errors", "durations"}:
            loaded = {n for n in _imports(path, everywhere=False) if n.startswith(heavy)}
            assert not loaded, f"{_name(path)} loads {loaded}"


def test_no_circles() -> None:
    names = {_name(path): path for path in FILES}
    graph = {
        name: {other for other in _imports(path, everywhere=False) if other in names} - {name}
        for name, path in names.items()
    }
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, f"circle: {' -> '.join([*trail, name])}"
        if name in done:
            return
        for other in graph[name]:
            visit(other, (*trail, name))
        done.add(name)

    for name in graph:
        visit(name, ())


def test_no_file_is_longer_than_one_reading() -> None:
    long = {_name(p): n for p in FILES if (n := len(p.read_text().splitlines())) > 400}
    assert not long
