"""Where the records of one file lie, kept beside it for as long as it is the same file."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from pipeline.data import tfrecord
from pipeline.data.tfrecord import Opened, looked_through, table
from pipeline.errors import DataError

CONTENT = [b"", b"\0", b"abc\0\0", b"x" * 5000, b"", b"last"]


@pytest.fixture(autouse=True)
def forgotten() -> None:
    """What other tests have kept in memory."""
    tfrecord._table.cache_clear()


def _write(path: Path, content: list[bytes]) -> str:
    with tf.io.TFRecordWriter(str(path)) as file:
        for record in content:
            file.write(record)
    return str(path)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return _write(tmp_path / "a.tfrecord", CONTENT)


def _read(path: str, expected: int = len(CONTENT)) -> list[bytes]:
    return Opened(path).read(table(path, expected).offsets, np.arange(expected))


@pytest.fixture
def no_walk(monkeypatch: pytest.MonkeyPatch) -> None:
    def walk(*_: object) -> None:
        raise AssertionError("the file was walked")

    monkeypatch.setattr(tfrecord, "_walk", walk)


def test_records_are_read_as_they_were_written(path: str) -> None:
    assert _read(path) == CONTENT
    offsets = table(path, len(CONTENT)).offsets
    assert Opened(path).read(offsets, np.array([5, 2, 2])) == [b"last", b"abc\0\0", b"abc\0\0"]


def test_file_is_walked_on_after_its_pages_are_released(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tfrecord, "_RELEASE", 1)
    assert _read(path) == CONTENT


def test_empty_file_has_no_records(tmp_path: Path) -> None:
    path = _write(tmp_path / "empty", [])
    assert table(path, 0).offsets.tolist() == [0]
    assert not table(path, 0).lost


def test_table_is_kept_beside_the_file(path: str, request: pytest.FixtureRequest) -> None:
    assert not looked_through(path)
    first = table(path, len(CONTENT))
    assert looked_through(path)
    assert [p.name for p in (Path(path).parent / ".offsets").iterdir()] == ["a.tfrecord.npy"]
    tfrecord._table.cache_clear()
    request.getfixturevalue("no_walk")
    again = table(path, len(CONTENT))
    assert again.offsets.tolist() == first.offsets.tolist()
    assert Opened(path).read(again.offsets, np.arange(6)) == CONTENT


@pytest.mark.parametrize("content", [CONTENT[::-1], [*CONTENT[:-1], b"longer"]])
def test_table_of_another_file_is_not_used(path: str, content: list[bytes]) -> None:
    """Neither one of the same size nor one of the same time."""
    table(path, len(CONTENT))
    stat = os.stat(path)
    _write(Path(path), content)
    later = os.stat(path).st_size == stat.st_size
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + later))
    tfrecord._table.cache_clear()
    assert _read(path) == content


@pytest.mark.parametrize(
    "kept", [b"", b"no array", None], ids=["empty", "garbage", "wrong offsets"]
)
def test_damaged_table_is_made_again(path: str, kept: bytes | None) -> None:
    table(path, len(CONTENT))
    beside = Path(path).parent / ".offsets" / "a.tfrecord.npy"
    if kept is None:
        array = np.load(beside)
        array[3] = array[4]
        np.save(beside, array)
    else:
        beside.write_bytes(kept)
    tfrecord._table.cache_clear()
    assert _read(path) == CONTENT


def test_folder_that_cannot_be_written_is_read_all_the_same(
    path: str, request: pytest.FixtureRequest
) -> None:
    (Path(path).parent / ".offsets").write_text("a file where a folder should be made")
    assert _read(path) == CONTENT
    request.getfixturevalue("no_walk")
    assert _read(path) == CONTENT  # from memory


def test_damaged_file_is_looked_through_again_once_it_is_mended(path: str) -> None:
    whole = Path(path).read_bytes()
    Path(path).write_bytes(whole[:-1])
    assert table(path, len(CONTENT)).lost == "the file ends in the middle of it"
    assert not looked_through(path)
    Path(path).write_bytes(whole)
    assert _read(path) == CONTENT


@pytest.mark.parametrize("cut", [False, True], ids=["flipped", "cut"])
def test_damage_after_the_file_was_looked_through_is_named(path: str, cut: bool) -> None:
    offsets, stat = table(path, len(CONTENT)).offsets, os.stat(path)
    if cut:
        os.truncate(path, stat.st_size - 1)
        record = 5
    else:
        content = bytearray(Path(path).read_bytes())
        content[offsets[3] + 100] ^= 1
        Path(path).write_bytes(content)
        record = 3
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # as a copy of damaged files has it
    with pytest.raises(DataError) as caught:
        Opened(path).read(offsets, np.array([5, 3] if cut else [1, 3]))
    beside = Path(path).parent / ".offsets" / "a.tfrecord.npy"
    assert str(caught.value) == (
        f"{path}: record {record} was whole when the file was looked through, and does not match "
        f"its checksum now. Delete {beside} to have the file looked through again, or the folder "
        "to prepare the dataset again."
    )
