"""Text out of files and out of Python itself, one example a split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.config import Dataset
from pipeline.data import catalogue
from pipeline.errors import DataError

Texts = dict[str, str]


def read(config: Dataset) -> Texts:
    catalogue.prepare(config)
    builder = catalogue.open_builder(config)
    splits = {name: builder.as_dataset(split=name) for name in ("train", "validation", "test")}
    return {
        name: "".join(example["text"].decode() for example in split.as_numpy_iterator())
        for name, split in splits.items()
    }


def of(folder: Path, name: str = "text_file", **options: Any) -> Dataset:
    return Dataset(name=name, data_dir=str(folder / "data"), options=options)


@pytest.fixture
def letters(tmp_path: Path) -> Path:
    """``a.txt`` and ``b.txt`` with 49 letters each; with the break between them that is 100."""
    for letter in "ab":
        (tmp_path / f"{letter}.txt").write_text(letter * 49 + "\n")
    return tmp_path


def test_files_follow_each_other_and_are_cut_by_position(letters: Path) -> None:
    texts = read(of(letters, files=f"{letters}/*.txt"))
    assert texts == {"train": "a" * 49 + "\n\n" + "b" * 39, "validation": "b" * 5, "test": "b" * 5}


def test_files_are_in_the_order_given_and_none_is_there_twice(letters: Path) -> None:
    texts = read(of(letters, files=[f"{letters}/b.txt", f"{letters}/*.txt"]))
    assert "".join(texts.values()) == "b" * 49 + "\n\n" + "a" * 49


def test_files_are_looked_for_where_the_command_runs(
    letters: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(letters)
    assert "".join(read(of(letters, files="?.txt")).values()).count("b") == 49


def test_changed_text_is_another_dataset_and_the_old_one_is_still_there(letters: Path) -> None:
    config = of(letters, files=f"{letters}/a.txt")
    folder = catalogue.prepare(config)
    (letters / "a.txt").write_text("c" * 100)
    assert catalogue.prepare(config) != folder
    assert read(config)["test"] == "ccccc"
    by_name = Dataset(name=f"text_file/{folder.parent.name}", data_dir=config.data_dir)
    assert set("".join(read(by_name).values())) == {"a"}


def test_files_of_an_installed_package(tmp_path: Path) -> None:
    texts = read(of(tmp_path, files="datasets/descr/*.rst", package="sklearn"))
    assert texts["train"].startswith(".. _breast_cancer_dataset:")
    assert texts["test"].endswith("(Also submitted to Journal of Chemometrics).")
    assert sum(map(len, texts.values())) > 40_000


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "files is empty; expected paths or patterns, as docs/*.md"),
        ({"files": "no/*.such"}, "files=no/*.such; there is no such file below"),
        ({"files": "a", "package": "sk_learn"}, "package=sk_learn; expected the name of an ins"),
        ({"files": "a", "package": "sklearn.datasets"}, "with the folders in it as a part of fi"),
        ({"file": "a.txt"}, "takes no such option. Did you mean 'files'?"),
        ({"files": "short.txt"}, "the files hold 3 characters; 20 or more are expected"),
        ({"files": "bytes.txt"}, "bytes.txt is not text in UTF-8: byte 2 is 0xff. Convert it"),
    ],
)
def test_wrong_options_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "short.txt").write_text("abc")
    (tmp_path / "bytes.txt").write_bytes(b"ab\xffcd" * 10)
    with pytest.raises(DataError) as caught:
        catalogue.open_builder(of(tmp_path, **options))
    assert text in str(caught.value)


def test_pythons_reference_has_each_paragraph_once() -> None:
    config = Dataset(name="python_reference")
    texts = read(config)
    sizes = {name: len(text) for name, text in texts.items()}
    assert 300_000 < sizes["train"] < 400_000
    assert sizes["validation"] == pytest.approx(sizes["train"] / 18, abs=2)
    assert sizes["test"] == pytest.approx(sizes["train"] / 18, abs=2)
    whole = "".join(texts.values())
    assert whole.startswith('The "assert" statement\n')
    paragraphs = whole.split("\n\n")
    assert len(set(paragraphs)) == len(paragraphs) > 2000
    info = catalogue.open_builder(config).info
    assert "Python Software Foundation" in info.redistribution_info.license
