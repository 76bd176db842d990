"""Random access to the examples of a split expression, in the order in which TFDS reads them.

For what does not fit in memory: ``Records`` finds examples by number in the tfrecord files of a
prepared dataset, a ``Decoder`` (``decoder.py``) makes arrays of them. Nothing is held but where
each record lies. The order of training, batches and threads are the feed's.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from tensorflow_datasets.core.file_adapters import FileFormat

from pipeline.data.tfrecord import Opened, Table, looked_through, table
from pipeline.errors import DataError

_OPEN_FILES = 128  # at once: a process may have 1,024 open, and large datasets have as many
_SHOWN = 5  # damaged records that an error names
_SAID = 300  # characters of what TensorFlow says
_LARGE = 1 << 30  # bytes whose first reading a person should know of

_FAULTS = (tf.errors.InvalidArgumentError, tf.errors.DataLossError)  # of what is decoded

_log = logging.getLogger(__name__)
Decoded = TypeVar("Decoded")


class Bad(NamedTuple):
    """A record that cannot be read: its file, its number in there, why and what is lost with it."""

    shard: str
    record: int
    reason: str


class _Part(NamedTuple):
    """What the expression takes of one file: ``kept[k]`` is the index in the file of the k-th."""

    path: str
    table: Table
    kept: range | np.ndarray


class Records:
    """The examples of ``expression``, numbered from 0 as ``builder.as_dataset`` gives them when it
    reads one file after the other (``shuffle_files=False``, ``interleave_cycle_length=1``).

    Safe to use from several threads at once.

    Args:
        builder: of a dataset that is prepared as tfrecord files.
        expression: TFDS's, such as ``train``, ``train[:90%]``, ``train+test``, ``all``.
        on_error: what to do about damaged records: ``stop`` raises, ``skip`` leaves them out.
        members: the numbers of those that are meant, which are numbered from 0 then; None: all.

    Attributes:
        bad: the damaged records among those of the expression.
        left_out: how many examples are missing for it, of those that ``dataset_info.json`` counts.

    Raises:
        DataError: another file format; missing files; damaged ones with ``on_error=stop``.
    """

    def __init__(
        self,
        builder: tfds.core.DatasetBuilder,
        expression: str,
        on_error: str = "stop",
        members: np.ndarray | None = None,
    ) -> None:
        self.builder = builder
        self.expression = expression
        self.bad: list[Bad] = []
        self.left_out = 0
        self._parts: list[_Part] = []
        _check_format(builder)
        instructions = builder.info.splits[expression].file_instructions
        _announce({str(instruction.filename) for instruction in instructions})
        for instruction in instructions:
            path = str(instruction.filename)
            found = table(path, instruction.examples_in_shard)
            wanted = range(instruction.skip, instruction.skip + instruction.take)
            self._parts.append(_Part(path, found, self._whole(path, found, wanted)))
        if self.left_out and on_error != "skip":
            raise self._damaged(sum(instruction.take for instruction in instructions))
        self._ends = np.cumsum([len(part.kept) for part in self._parts], dtype=np.int64)
        if self.left_out and not self._ends[-1]:
            raise DataError(
                f"Not one record of {expression!r} of {self._dataset} can be read. "
                "Delete the folder and prepare the dataset again."
            )
        if self.left_out and members is not None:
            raise DataError(
                f"{self._dataset} is damaged, and dataset.splits.hold_out divides whole splits "
                "only. Name slices, such as dataset.splits.validation=train[90%:] beside "
                "dataset.splits.train=train[:90%], or prepare the dataset again."
            )
        self._members = members
        self._opened = lru_cache(maxsize=_OPEN_FILES)(Opened)

    def __len__(self) -> int:
        if self._members is not None:
            return len(self._members)
        return int(self._ends[-1]) if len(self._ends) else 0

    def where(self, i: int) -> tuple[str, int]:
        """The name of the file that holds example ``i``, and its index in there."""
        part, inside = self._locate(np.array([i]))
        found = self._parts[part[0]]
        return Path(found.path).name, int(found.kept[inside[0]])

    def serialized(self, indices: np.ndarray) -> np.ndarray:
        """The examples at ``indices`` (int [n]) as they are stored: bytes, object [n].

        Raises:
            DataError: a file has changed since it was looked through.
            IndexError: there is no such example.
        """
        part, inside = self._locate(np.asarray(indices, np.int64))
        order = np.argsort(part, kind="stable")
        stops = np.flatnonzero(np.diff(part[order])) + 1
        serialized = np.empty([len(part)], object)
        for rows in np.split(order, stops) if len(order) else []:
            path, found, kept = self._parts[part[rows[0]]]
            at = inside[rows]
            local = kept[at] if isinstance(kept, np.ndarray) else at + kept.start
            serialized[rows] = self._opened(path).read(found.offsets, local)
        return serialized

    def decoded(self, indices: np.ndarray, decode: Callable[[np.ndarray], Decoded]) -> Decoded:
        """``decode`` of the examples at ``indices``: a ``Decoder``, or what has one in it.

        Raises:
            DataError: an example cannot be decoded, or they differ in size.
        """
        serialized = self.serialized(indices)
        try:
            return decode(serialized)
        except _FAULTS as error:
            for i, index in enumerate(indices):
                try:
                    decode(serialized[i : i + 1])
                except _FAULTS as own:
                    raise self._undecodable(int(index), own) from error
            raise DataError(
                f"Examples of {self.expression!r} of {self._dataset} differ in size, and a batch "
                "needs one size. Use a preprocessing step that makes them even."
            ) from error

    @property
    def _dataset(self) -> str:
        return f"{self.builder.info.full_name} in {self.builder.data_dir}"

    def _locate(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which part each index is in, and which of the part's kept records it is."""
        if len(indices) and not 0 <= indices.min() <= indices.max() < len(self):
            raise IndexError(
                f"{self.expression!r} has the examples 0 to {len(self) - 1}, not "
                f"{indices[(indices < 0) | (indices >= len(self))][0]}"
            )
        if self._members is not None:
            indices = self._members[indices]
        part = np.searchsorted(self._ends, indices, side="right")
        return part, indices - np.append(0, self._ends)[part]

    def _whole(self, path: str, found: Table, wanted: range) -> range | np.ndarray:
        """Those of the ``wanted`` records that can be read; the others are noted as bad."""
        name, held = Path(path).name, len(found.offsets) - 1
        there = range(wanted.start, max(wanted.start, min(wanted.stop, held)))
        damaged = [index for index in found.damaged if index in there]
        self.bad += [Bad(name, index, found.damaged[index]) for index in damaged]
        lost = len(wanted) - len(there)
        if lost:
            first = max(wanted.start, held)
            which = f"{lost} records from {first} on" if lost > 1 else f"record {first}"
            also = f", and {which} cannot be found" if lost > 1 or first > held else ""
            self.bad.append(Bad(name, held, found.lost + also))
        self.left_out += len(damaged) + lost
        return np.setdiff1d(np.array(there), damaged) if damaged else there

    def _damaged(self, wanted: int) -> DataError:
        lines = [f"{bad.shard}, record {bad.record}: {bad.reason}." for bad in self.bad[:_SHOWN]]
        if len(self.bad) > _SHOWN:
            lines.append(f"… and {len(self.bad) - _SHOWN} more.")
        return DataError(
            f"{self._dataset} is damaged: {self.left_out} of the {wanted} records of "
            f"{self.expression!r} cannot be read.\n" + "\n".join(lines) + "\n"
            "Set dataset.on_error=skip to go on without them, or delete the folder and prepare the "
            "dataset again."
        )

    def _undecodable(self, index: int, error: tf.errors.OpError) -> DataError:
        shard, at = self.where(index)
        return DataError(
            f"{shard}, record {at} ({self._dataset}) cannot be decoded: {_reason(error)}\n"
            "Its checksum is right: this is what was written. Set dataset.on_error=skip to go on "
            "without such examples, leave it out by a split expression"
            f"{self._without(shard, at)}, or mend the data and prepare the dataset again."
        )

    def _without(self, shard: str, index: int) -> str:
        """Such as `` like train[:7]+train[8:]``."""
        for name, split in self.builder.info.splits.items():
            files = [Path(path).name for path in split.filepaths]
            if shard in files:
                i = sum(split.shard_lengths[: files.index(shard)]) + index
                before = [f"{name}[:{i}]"] if i else []
                after = [f"{name}[{i + 1}:]"] if i + 1 < split.num_examples else []
                return " like " + "+".join(before + after)
        return ""


def _check_format(builder: tfds.core.DatasetBuilder) -> None:
    stored = builder.info.file_format
    if stored is not None and stored is not FileFormat.TFRECORD:
        raise DataError(
            f"{builder.info.full_name} in {builder.data_dir} is stored as {stored.value}, but "
            "examples are read from tfrecord files. Delete the folder and prepare the dataset "
            "again, or set dataset.data_dir to another folder and prepare it there: that writes "
            "tfrecord."
        )


def _announce(paths: set[str]) -> None:
    fresh = [Path(path) for path in paths if not looked_through(path)]
    size = sum(path.stat().st_size for path in fresh if path.exists())
    if size > _LARGE:
        _log.warning("looking through %.0f GB of records for damage, once", size / 1e9)


def _reason(error: tf.errors.OpError) -> str:
    """What TensorFlow says of the data, without where in our program and its graph."""
    said = re.sub(r"\[\[\{\{.*|\{\{.*?\}\}|\[Op:.*", "", str(error.message), flags=re.DOTALL)
    return said.strip().rpartition("\n")[2].strip()[:_SAID] or type(error).__name__
