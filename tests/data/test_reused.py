"""What one trial of a sweep has decoded, the next one takes."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from pipeline.data import reused, source, splits
from pipeline.train import compose


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """That of a sweep, for what is decoded."""
    monkeypatch.setenv(reused.FOLDER, str(tmp_path))
    return tmp_path


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch, tfds_folder: str):
    """Read the training split of a dataset as a new process does; and how often it was decoded."""
    decoded: list[str] = []
    decode = splits._decode

    def counting(builder, expression, *arguments):
        decoded.append(expression)
        return decode(builder, expression, *arguments)

    monkeypatch.setattr(splits, "_decode", counting)

    def read(dataset: str = "digits", *overrides: str) -> tuple[splits.Split, int]:
        monkeypatch.setattr(splits, "_cache", OrderedDict())
        decoded.clear()
        asked = compose("train", [f"dataset={dataset}", *overrides]).dataset
        return source.load(asked).split("train"), len(decoded)

    return read


def _same(one: splits.Split, other: splits.Split) -> bool:
    pairs = list(zip(one.arrays, other.arrays, strict=True))
    return one.digest == other.digest and all(
        a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a, b) for a, b in pairs
    )


def test_a_split_is_decoded_by_the_first_trial_alone(read, folder: Path) -> None:
    first, decoded = read()
    assert decoded > 0
    second, again = read()
    assert again == 0
    assert second.name == first.name
    assert _same(first, second)
    assert not any(array.flags.writeable for array in second.arrays)


def test_another_split_is_decoded(read, folder: Path) -> None:
    first, _ = read()
    other, decoded = read("digits", 'dataset.splits.train="train[:50%]"')
    assert decoded > 0
    assert len(other) < len(first)


def test_without_a_sweep_nothing_is_kept(
    read, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(reused.FOLDER)
    read()
    assert read()[1] > 0
    assert list(folder.iterdir()) == []


def test_several_inputs_come_back_by_their_names(folder: Path) -> None:
    inputs = {"age": np.arange(3.0), "city/name": np.arange(3)}
    split = splits.Split("train", inputs, np.arange(3, dtype=np.int32), np.ones(3, np.float32))
    reused.keep("table", splits._by_name(split))
    kept = reused.load("table")
    assert kept is not None
    found = splits._of_names("train", kept)
    assert list(found.inputs) == ["age", "city/name"]
    assert _same(split, found)


@pytest.mark.parametrize(
    "array", [np.array([b"text", b"more"], object), np.zeros(reused.MOST + 1, np.uint8)]
)
def test_text_and_what_is_large_is_not_kept(array: np.ndarray, folder: Path) -> None:
    reused.keep("split", {"inputs/": array})
    assert reused.load("split") is None
    assert list(folder.iterdir()) == []


def test_a_damaged_file_counts_as_none(read, folder: Path) -> None:
    first, _ = read()
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[:200])
    second, decoded = read()
    assert decoded > 0
    assert _same(first, second)


def test_a_folder_that_is_gone_or_full_is_no_error(
    read, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(reused.FOLDER, str(folder / "elsewhere"))
    assert len(read()[0]) == 1167

    def full(file: Path, **arrays: np.ndarray) -> None:
        Path(file).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setenv(reused.FOLDER, str(folder))
    monkeypatch.setattr(np, "savez", full)
    assert len(read()[0]) == 1167
    assert list(folder.iterdir()) == []
