"""Signatures read from sources: re-exports, inheritance, dataclasses, and what cannot be told."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from pipeline import signatures, sources, targets
from pipeline.signatures import Parameter

SOURCES = {
    "__init__.py": """
        import numpy as np
        from .inner import *
        from .inner import Base as Root, outside
        from sample_package import inner as other
        from math import sin
        raise RuntimeError("imported")
    """,
    "inner.py": """
        from __future__ import annotations
        import dataclasses, functools
        from typing import ClassVar, Sequence
        from collections.abc import Mapping
        Size = int | Sequence[int]
        NAMES = {"a": 1, "b": 2}
        PAIR = ("x", "y")

        class Base:
            def __init__(self, name: str | None = None, *, dtype: str = "f", **rest): ...
        class Closed:
            def __init__(self, name: str | None = None): ...
        class Child(Closed):
            def __init__(self, units: int, size: Size = 1, **options): ...
            @classmethod
            def small(cls, scale: float): ...
            @staticmethod
            def free(x): ...
        class Silent(Child):
            pass
        class Strange(Unknown):
            def __init__(self, a, **options): ...
        class Empty: ...
        class Made:
            def __new__(cls, a): ...
        @dataclasses.dataclass(frozen=True)
        class Point:
            x: int
            y: "float" = 0.0
            z: list[int] = dataclasses.field(default_factory=list)
            w: int = dataclasses.field(init=False)
            kind: ClassVar[str] = "p"
        @dataclasses.dataclass
        class Point3(Point):
            depth: float
        class Loop(Loop2): ...
        class Loop2(Loop): ...
        def outside(a, /, b: int, *rest, c=1): ...
        @functools.lru_cache
        def decorated(a): ...
        Alias = Child
        if True:
            def conditional(x: int): ...
        def _hidden(): ...
    """,
    "lazy.py": """
        def __getattr__(name): ...
    """,
    "broken.py": "def (",
}


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    folder = tmp_path / "sample_package"
    folder.mkdir()
    for name, text in SOURCES.items():
        (folder / name).write_text(textwrap.dedent(text))
    monkeypatch.syspath_prepend(str(tmp_path))
    return "sample_package"


def parameters(target: str) -> dict[str, Parameter]:
    found = signatures.find(target)
    assert isinstance(found, signatures.Found)
    assert found.signature is not None
    return found.signature.parameters


def test_a_subclass_takes_what_its_base_takes_where_it_hands_on_options() -> None:
    taken = parameters("sample_package.Child")
    assert taken["units"] == Parameter("int", required=True)
    assert taken["name"] == Parameter("str | None", required=False)
    assert taken["size"] == Parameter("int | Sequence[int]", required=False)  # alias opened
    assert parameters("sample_package.Silent") == taken
    assert parameters("sample_package.Alias") == taken


@pytest.mark.parametrize(
    ("target", "accepts_any"),
    [("Root", True), ("Strange", True), ("Child", False), ("Closed", False), ("Empty", False)],
)
def test_any_name_is_taken_only_where_options_lead_nowhere(target: str, accepts_any: bool) -> None:
    found = signatures.find(f"sample_package.{target}")
    assert isinstance(found, signatures.Found)
    assert found.signature is not None
    assert found.signature.accepts_any is accepts_any


def test_fields_of_dataclasses_are_arguments() -> None:
    assert parameters("sample_package.Point3") == {
        "x": Parameter("int", required=True),
        "y": Parameter("float", required=False),
        "z": Parameter("list[int]", required=False),
        "depth": Parameter("float", required=True),
    }


@pytest.mark.parametrize(
    ("target", "names"),
    [
        ("outside", ["a", "b", "c"]),
        ("conditional", ["x"]),
        ("Child.small", ["scale"]),
        ("Child.free", ["x"]),
        ("inner.outside", ["a", "b", "c"]),
        ("other.outside", ["a", "b", "c"]),
    ],
)
def test_functions_and_methods_are_found(target: str, names: list[str]) -> None:
    assert list(parameters(f"sample_package.{target}")) == names


@pytest.mark.parametrize("target", ["decorated", "Made", "Loop", "sin", "np.array", "lazy.what"])
def test_what_cannot_be_told_is_left_unchecked(target: str) -> None:
    found = signatures.find(f"sample_package.{target}")
    assert isinstance(found, signatures.Found)
    assert found.signature is None


def test_the_defining_module_is_named_and_not_the_one_that_re_exports() -> None:
    for target, module in (("outside", "sample_package.inner"), ("np.array", "numpy")):
        found = signatures.find(f"sample_package.{target}")
        assert isinstance(found, signatures.Found)
        assert found.module.startswith(module)


@pytest.mark.parametrize(
    ("target", "where", "name", "valid"),
    [
        ("nowhere.Thing", "", "nowhere", None),
        ("sample_package.Chld", "sample_package", "Chld", "broken"),
        ("sample_package.inner.Chld", "sample_package.inner", "Chld", "Child"),
        ("sample_package.Child.smal", "sample_package.Child", "smal", "small"),
        ("sample_package.broken.x", "sample_package.broken", "x", None),
        ("", "", "", None),
        ("..", "", "", None),
    ],
)
def test_a_missing_name_is_reported_beside_the_valid_ones(
    target: str, where: str, name: str, valid: str | None
) -> None:
    missing = signatures.find(target)
    assert isinstance(missing, sources.Missing)
    assert (missing.where, missing.name) == (where, name)
    assert valid is None or valid in missing.valid
    assert "_hidden" not in missing.valid


def test_literal_words_are_read() -> None:
    assert sources.literal_words("sample_package.inner.NAMES") == ["a", "b"]
    assert sources.literal_words("sample_package.inner.PAIR") == ["x", "y"]
    assert sources.literal_words("sample_package.inner.Child") == []
    # The lists of valid words that preflight relies on are where it looks for them.
    assert "relu" in sources.literal_words("layers.activations.NAMED")
    assert "he_normal" in sources.literal_words("layers.initializers.NAMED")


@pytest.mark.parametrize(
    ("layer", "given", "problems"),
    [
        ("Conv1D", {"padding": "causal"}, []),
        ("Conv2D", {"padding": "valid"}, []),
        (
            "Conv1D",
            {"padding": "casual"},
            ["at.padding: the text 'casual' is given; 'same' or 'valid' or 'causal' is expected"],
        ),
        (
            "Conv2D",
            {"padding": "causal"},
            ["at.padding: the text 'causal' is given; 'same' or 'valid' is expected"],
        ),
        (
            "ConvTranspose1D",
            {"padding": "causal", "strides": 0},
            [
                "at.padding: the text 'causal' is given; 'same' or 'valid' is expected",
                "at.strides: 0 is out of range; a number at least 1 is expected",
            ],
        ),
        (
            "SeparableConv2D",
            {"depth_multiplier": 0, "groups": 2},
            [
                "at.groups: SeparableConv2D takes no 'groups'. Valid: activation, bias_",
                "at.depth_multiplier: 0 is out of range; a number at least 1 is expected",
            ],
        ),
    ],
)
def test_each_convolution_takes_the_paddings_and_sizes_that_it_has(
    layer: str, given: dict[str, object], problems: list[str]
) -> None:
    node = {"_target_": f"layers.{layer}", "filters": 4, "kernel_size": 3, **given}
    found = list(targets.check(node, "at", []))
    assert len(found) == len(problems)
    assert all(line.startswith(start) for line, start in zip(found, problems, strict=True)), found


def test_an_edited_source_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "sample_package" / "edited.py"
    file.write_text("def f(a): ...")
    assert list(parameters("sample_package.edited.f")) == ["a"]
    file.write_text("def f(a, b): ...")
    assert list(parameters("sample_package.edited.f")) == ["a", "b"]


def test_nothing_is_imported() -> None:
    code = (
        "import sys; from pipeline import signatures; "
        "print([bool(signatures.find(t).signature) for t in "
        "('layers.Dense', 'pipeline.training.optimizers.Adam')], "
        "sorted({'tensorflow', 'layers', 'pipeline.training', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[True, True] []"


def test_words_of_a_class_are_read_from_it_or_its_bases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_tasks.py").write_text(
        "from pipeline.training.tasks import Classification\n"
        "class Ranking(Classification):\n    metrics = ['loss', 'ndcg']\n"
        "class Renamed(Classification):\n    pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert sources.literal_words("own_tasks.Ranking.metrics") == ["loss", "ndcg"]
    assert sources.literal_words("own_tasks.Renamed.metrics") == ["loss", "accuracy"]
    assert sources.literal_words("own_tasks.Renamed.measures") == []
    assert sources.literal_words("own_tasks.Nothing.metrics") == []


def test_a_module_that_is_not_valid_python_is_called_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "half_done.py").write_text("class Maxout:\n    deff build(self): ...\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    (problem,) = targets.check({"_target_": "half_done.Maxout"}, "at", ["half_done"])
    assert problem == (
        "at._target_: half_done has no 'Maxout' that could be read: "
        f"{tmp_path}/half_done.py, line 2: not valid Python: invalid syntax"
    )
    assert sources.fault("layers.Dens") == ""
