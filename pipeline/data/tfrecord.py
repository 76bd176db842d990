"""One TFRecord file: where its records lie, which are damaged, and reading them by their index.

The format frames each record by ``length`` (8 bytes), a checksum of the length (4), the data, and a
checksum of the data (4); see https://www.tensorflow.org/tutorials/load_data/tfrecord. It has no
table of contents, so a file is walked once from its start, and every checksum compared. What the
records mean, and in which order a split has them, is ``records.py``'s and ``decoder.py``'s.
"""

from __future__ import annotations

import array
import contextlib
import mmap
import os
import struct
import threading
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from google_crc32c import value as crc32c

from pipeline.errors import DataError

_HEADER = struct.Struct("<QI")
_FOOTER = struct.Struct("<I")
_FRAME = _HEADER.size + _FOOTER.size
_RELEASE = 64 << 20  # bytes of a file that the walk lets stay mapped: else it counts as our memory
_FOLDER = ".offsets"  # beside the files, and deleted with them
_TABLES = 4096  # files whose tables are kept in memory, 8 bytes a record


class Table(NamedTuple):
    """Where the records of a file lie.

    Attributes:
        offsets: int64 [n + 1]; record i lies from byte ``offsets[i]`` to ``offsets[i + 1]``.
        damaged: those of the n whose data is not what was written, and why.
        lost: why there are no more than n, where the file should hold more; else empty.
    """

    offsets: np.ndarray
    damaged: dict[int, str]
    lost: str


def table(path: str, expected: int) -> Table:
    """The table of the file, which should hold ``expected`` records.

    It is read from beside the file, or made and written there; it is made again when the file's
    size or time of change is another, and each time where the file is damaged. Where the folder
    cannot be written, it is kept in memory only.

    Raises:
        DataError: no such file, one that cannot be read, or one that holds more records.
    """
    try:
        stat = os.stat(path)
        return _table(path, expected, stat.st_size, stat.st_mtime_ns)
    except FileNotFoundError:
        raise DataError(
            f"{path} is missing. Copy it from where the dataset is whole, or delete the folder and "
            "prepare the dataset again."
        ) from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error


def looked_through(path: str) -> bool:
    """Whether a table lies beside the file. It may be out of date."""
    return _beside(path).exists()


class Opened:
    """An open file. It closes when nobody uses it any more, whichever thread that is."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDONLY)

    def __del__(self) -> None:
        if hasattr(self, "_descriptor") and os is not None:  # opened; Python has not ended
            os.close(self._descriptor)

    def read(self, offsets: np.ndarray, indices: np.ndarray) -> list[bytes]:
        """The data of the records at ``indices``, by the ``offsets`` of the file's table.

        Not through a memory map: reading one that misses the page cache stops all Python threads,
        its pages count as this process's memory, and a file that fails to be read kills it.

        Raises:
            DataError: a record is not what it was when the table was made.
        """
        starts = offsets[indices] + _HEADER.size
        lengths = offsets[indices + 1] - starts
        places = list(zip(lengths.tolist(), starts.tolist(), strict=True))
        if hasattr(os, "posix_fadvise"):  # the disk looks for all while we wait for the first
            for length, start in places:
                os.posix_fadvise(self._descriptor, start, length, os.POSIX_FADV_WILLNEED)
        framed = [os.pread(self._descriptor, length, start) for length, start in places]
        data = [one[: -_FOOTER.size] for one in framed]
        computed = np.array([crc32c(one) for one in data], np.uint64)
        stored = b"".join([one[-_FOOTER.size :] for one in framed])
        if _masked(computed).astype("<u4").tobytes() != stored:
            raise self._changed(indices, framed)
        return data

    def _changed(self, indices: np.ndarray, framed: list[bytes]) -> DataError:
        first = next(
            index
            for index, one in zip(indices, framed, strict=True)
            if _masked(crc32c(one[: -_FOOTER.size])).to_bytes(4, "little") != one[-_FOOTER.size :]
        )
        return DataError(
            f"{self.path}: record {first} was whole when the file was looked through, and does not "
            f"match its checksum now. Delete {_beside(self.path)} to have the file looked through "
            "again, or the folder to prepare the dataset again."
        )


@lru_cache(maxsize=_TABLES)
def _table(path: str, expected: int, size: int, changed: int) -> Table:
    """Kept in memory as well: for folders that cannot be written, and for damaged files."""
    offsets = _kept(path, expected, size, changed)
    if offsets is not None:
        return Table(offsets, {}, "")
    made = _walk(path, size)
    count = len(made.offsets) - 1
    if count > expected:
        raise DataError(
            f"{path} holds {count} records, but dataset_info.json beside it says {expected}: they "
            "are not of one dataset. Delete the folder and prepare the dataset again."
        )
    if count < expected and not made.lost:
        made = made._replace(lost="the file ends before it")
    if not made.damaged and not made.lost:
        _keep(path, made.offsets, changed)
    return made


def _walk(path: str, size: int) -> Table:
    offsets, computed, stored = array.array("q", [0]), array.array("I"), array.array("I")
    header, footer = _HEADER.unpack_from, _FOOTER.unpack_from
    known: dict[int, int] = {}  # lengths seen, with their checksums: most files have few of them
    lost, position, release = "", 0, _RELEASE
    if not size:  # which cannot be mapped
        return Table(np.zeros([1], np.int64), {}, lost)
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        while position < size:
            start = position + _HEADER.size
            if start > size:
                lost = "the file ends in the middle of it"
                break
            length, check = header(data, position)
            if known.get(length) != check:
                if _masked(crc32c(data[position : position + 8])) != check:
                    lost = "its length does not match its checksum"
                    break
                known[length] = check
            end = start + length
            position = end + _FOOTER.size
            if position > size:
                lost = "the file ends in the middle of it"
                break
            computed.append(crc32c(data[start:end]))
            stored.append(footer(data, end)[0])
            offsets.append(position)
            if position > release:
                data.madvise(mmap.MADV_DONTNEED)
                release = position + _RELEASE
    wrong = np.flatnonzero(_masked(np.array(computed, np.uint64)) != np.array(stored, np.uint64))
    reason = "its data does not match its checksum"
    return Table(np.array(offsets), dict.fromkeys(wrong.tolist(), reason), lost)


def _masked(crc: Any) -> Any:
    """A checksum, or an array of them (uint64), as the format stores it: rotated, and shifted."""
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _beside(path: str) -> Path:
    return Path(path).parent / _FOLDER / f"{Path(path).name}.npy"


def _kept(path: str, expected: int, size: int, changed: int) -> np.ndarray | None:
    """The offsets written before, if they are of this very file: [time of change, 0, ..., size]."""
    try:
        kept = np.load(_beside(path))
    except (OSError, ValueError, EOFError):
        return None
    if kept.dtype != np.int64 or kept.shape != (expected + 2,):
        return None
    if (kept[0], kept[1], kept[-1]) != (changed, 0, size) or np.diff(kept[1:]).min(
        initial=_FRAME
    ) < _FRAME:
        return None
    kept.flags.writeable = False
    return kept[1:]


def _keep(path: str, offsets: np.ndarray, changed: int) -> None:
    target = _beside(path)
    fresh = target.with_name(f"{target.name}.{os.getpid()}.{threading.get_ident()}")
    with contextlib.suppress(OSError):  # a folder that cannot be written, or a full disk
        target.parent.mkdir(exist_ok=True)
        try:
            with open(fresh, "wb") as file:
                np.save(file, np.concatenate([[changed], offsets]))
            os.replace(fresh, target)
        finally:
            fresh.unlink(missing_ok=True)
