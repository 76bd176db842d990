"""A split of a prepared dataset, decoded into memory once a process."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import absl.logging
import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from pipeline.config import Dataset
from pipeline.data import reused
from pipeline.data.decoder import Decoder
from pipeline.data.examples import Arrays
from pipeline.data.features import Target, feature, multi_hot, names_of, nested, value_at
from pipeline.data.records import Records
from pipeline.errors import DataError

_READ_BATCH = 1024
_CACHE_BYTES = 2 << 30


@dataclass(frozen=True, eq=False)
class Split:
    """Examples in the order in which they lie on disk. The arrays are shared: they are read-only.

    Attributes:
        name: the TFDS split expression, such as ``train[:90%]``.
        inputs: ``[n, ...]`` in the dtype that TFDS decodes to, images uint8, or several by name.
            Of text, and of examples that differ in size, an array of objects, ``[n]``.
        targets: ``[n]`` int32 of a class, ``[n, classes]`` uint8 of several, ``[n, ...]`` float32
            of numbers; None where nothing but the inputs is predicted.
        weights: ``[n]`` float32; None: all count the same.
    """

    name: str
    inputs: Arrays
    targets: np.ndarray | None = None
    weights: np.ndarray | None = None

    def __len__(self) -> int:
        return len(tf.nest.flatten(self.inputs)[0])

    @property
    def labels(self) -> np.ndarray:
        """The targets, where there are some."""
        assert self.targets is not None
        return self.targets

    @property
    def inputs_are_uneven(self) -> bool:
        """Whether they differ in size."""
        arrays = [a for a in tf.nest.flatten(self.inputs) if a.dtype == object and len(a)]
        return any(not isinstance(array[0], bytes) for array in arrays)

    @property
    def inputs_are_objects(self) -> bool:
        """Whether they are text, or differ in size."""
        return any(array.dtype == object for array in tf.nest.flatten(self.inputs))

    @property
    def arrays(self) -> list[np.ndarray]:
        """All of them."""
        found = tf.nest.flatten(self.inputs)
        return [*found, *(part for part in (self.targets, self.weights) if part is not None)]

    def at(self, rows: np.ndarray, name: str = "") -> Split:
        """Those examples alone."""

        def own(array: Any) -> Any:
            return None if array is None else array[rows]

        inputs = tf.nest.map_structure(own, self.inputs)
        return Split(name or self.name, inputs, own(self.targets), own(self.weights))

    @property
    def nbytes(self) -> int:
        """About how much memory it takes."""
        return sum(_bytes_of(array) for array in self.arrays)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the decoded content, in hex. The files differ from one writing to the next."""
        sha = hashlib.sha256()
        for array in self.arrays:
            sha.update(f"{array.dtype.str}{array.shape}".encode())
            if array.dtype != object:
                sha.update(np.ascontiguousarray(array).data)
                continue
            for value in array:
                raw = value if isinstance(value, bytes) else np.ascontiguousarray(value).tobytes()
                sha.update(f"{len(raw)}{getattr(value, 'shape', '')}".encode() + raw)
        return sha.hexdigest()


def joined(splits: Sequence[Split], name: str) -> Split:
    """The examples of all, one split after the other, as one."""

    def one(*arrays: Any) -> Any:
        known = [array for array in arrays if array is not None]
        return _one_array(known) if known else None

    inputs = tf.nest.map_structure(one, *(split.inputs for split in splits))
    targets, weights = ([getattr(s, key) for s in splits] for key in ("targets", "weights"))
    return Split(name, inputs, one(*targets), one(*weights))


# What one process trains or evaluates several times is decoded once. Least recently used first.
_cache: OrderedDict[Hashable, Split] = OrderedDict()


def read(
    builder: tfds.core.DatasetBuilder,
    expression: str,
    config: Dataset,
    target: Target,
    weight: str | None = None,
) -> Split:
    """The split that a TFDS ``expression`` selects, with the features that ``config`` names.

    Raises:
        DataError: damaged files.
    """
    written = os.stat(builder.data_path / "dataset_info.json").st_mtime_ns
    inputs = (isinstance(config.inputs, str), *names_of(config.inputs))
    key = (builder.data_dir, written, expression, inputs, target.kind, target.paths, weight)
    if key not in _cache:
        kept = reused.load(key)
        if kept is None:
            split = _decode(builder, expression, config, target, weight)
            reused.keep(key, _by_name(split))
        else:
            split = _of_names(expression, kept)
        for array in split.arrays:
            array.flags.writeable = False
        _cache[key] = split
        held = sum(split.nbytes for split in _cache.values())
        while held > _CACHE_BYTES and len(_cache) > 1:
            _, oldest = _cache.popitem(last=False)
            held -= oldest.nbytes
    _cache.move_to_end(key)
    return _cache[key]


def _decode(
    builder: tfds.core.DatasetBuilder,
    expression: str,
    config: Dataset,
    target: Target,
    weight: str | None,
) -> Split:
    wanted = paths_of(config, target, weight)
    uneven = any(_is_uneven(builder, path) for path in wanted)
    parts: dict[str, list[Any]] = {path: [] for path in wanted}
    try:
        for batch in _batches(builder, expression, wanted, one_by_one=uneven):
            for path, into in parts.items():
                into.append(value_at(batch, path))
    except tf.errors.OpError as error:
        _name_the_record(builder, expression, wanted)
        reason = re.sub(r"\{\{.*?\}\}|\[Op:.*", "", error.message).strip()
        raise DataError(
            f"{builder.data_dir} is damaged: reading {expression!r} stopped with "
            f"{type(error).__name__}: {reason}\n"
            "Delete the folder and prepare the dataset again."
        ) from error
    return split_of(parts, expression, config, target, weight, one_by_one=uneven)


def _by_name(split: Split) -> dict[str, np.ndarray]:
    """Its arrays; those of several inputs as ``inputs/`` and their names."""
    inputs: Any = split.inputs if isinstance(split.inputs, dict) else {"": split.inputs}
    found: dict[str, Any] = {f"inputs/{name}": array for name, array in inputs.items()}
    others = {"targets": split.targets, "weights": split.weights}
    return found | {name: array for name, array in others.items() if array is not None}


def _of_names(expression: str, arrays: Mapping[str, np.ndarray]) -> Split:
    """The split that ``_by_name`` took apart."""
    own = {key.partition("/")[2]: a for key, a in arrays.items() if key.startswith("inputs/")}
    inputs: Arrays = own[""] if list(own) == [""] else own
    return Split(expression, inputs, arrays.get("targets"), arrays.get("weights"))


def paths_of(config: Dataset, target: Target, weight: str | None) -> list[str]:
    """The features that are read."""
    return [*names_of(config.inputs), *target.paths, *([weight] if weight else [])]


def split_of(
    parts: Mapping[str, list[Any]],
    name: str,
    config: Dataset,
    target: Target,
    weight: str | None,
    one_by_one: bool,
) -> Split:
    """What was read of each feature, in batches or ``one_by_one``, as one."""
    names = names_of(config.inputs)
    columns = {path: _joined(parts[path], one_by_one) for path in names}
    inputs: Arrays = columns[names[0]] if isinstance(config.inputs, str) else columns
    targets = targets_in(target, [parts[path] for path in target.paths], one_by_one)
    weights = _joined(parts[weight], one_by_one).astype(np.float32) if weight else None
    return Split(name, inputs, targets, weights)


def _name_the_record(
    builder: tfds.core.DatasetBuilder, expression: str, wanted: Sequence[str]
) -> None:
    """Raise ``DataError`` with the first record that cannot be read: TensorFlow does not say."""
    records, decoder = Records(builder, expression), Decoder(builder, wanted)
    step = _READ_BATCH if decoder.even else 1
    for first in range(0, len(records), step):
        records.decoded(np.arange(first, min(first + step, len(records))), decoder)


def targets_in(target: Target, found: Sequence[list[Any]], one_by_one: bool) -> np.ndarray | None:
    """The targets of a split, out of what was read of each of their features."""
    if not found:
        return None
    if target.kind == "classes":
        assert target.size is not None
        return multi_hot(found[0], target.size)
    columns = [_joined(column, one_by_one) for column in found]
    if target.kind == "class":
        return columns[0].astype(np.int32)
    if len(columns) == 1:
        numbers = columns[0].astype(np.float32)
        return numbers if numbers.ndim > 1 else numbers[:, None]
    return np.stack(columns, 1).astype(np.float32)


def _joined(parts: list[Any], one_by_one: bool) -> np.ndarray:
    """One array of all examples; of objects where they are text or differ in size."""
    if not one_by_one:
        return np.concatenate(parts) if parts else np.empty([0], np.uint8)
    if parts and isinstance(parts[0], bytes):
        return np.array(parts, object)
    if len({np.shape(part) for part in parts}) <= 1:
        return np.stack(parts) if parts else np.empty([0], np.uint8)
    found = np.empty([len(parts)], object)
    found[:] = parts
    return found


def _one_array(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Of objects where one is, or where their examples differ in size."""
    if all(a.dtype != object and a.shape[1:] == arrays[0].shape[1:] for a in arrays):
        return np.concatenate(arrays)
    found = np.empty([sum(map(len, arrays))], object)
    found[:] = [example for array in arrays for example in array]
    return found


def _is_uneven(builder: tfds.core.DatasetBuilder, path: str) -> bool:
    """Whether TFDS leaves a size open."""
    spec = feature(builder, "inputs", path).get_tensor_spec()
    return None in spec.shape.as_list()


def _batches(
    builder: tfds.core.DatasetBuilder, expression: str, wanted: Sequence[str], one_by_one: bool
) -> Iterator[Mapping[str, Any]]:
    options = tf.data.Options()
    options.deterministic = True
    # The autotuner sleeps between looks, and deleting an iterator waits for it: up to seconds.
    options.autotune.enabled = False
    with _tfds_silent():
        dataset = builder.as_dataset(
            split=expression,
            shuffle_files=False,
            decoders=tfds.decode.PartialDecoding(nested(wanted)),
            read_config=tfds.ReadConfig(
                options=options,
                try_autocache=False,
                skip_prefetch=True,
                interleave_cycle_length=1,  # file after file: the order does not depend on shards
            ),
        )
    if not one_by_one:
        dataset = dataset.batch(_READ_BATCH)
    return dataset.prefetch(2).as_numpy_iterator()


@contextlib.contextmanager
def _tfds_silent() -> Iterator[None]:
    """PartialDecoding makes TFDS warn of a deprecated property that it reads itself."""
    verbosity = absl.logging.get_verbosity()
    absl.logging.set_verbosity(absl.logging.ERROR)
    try:
        yield
    finally:
        absl.logging.set_verbosity(verbosity)


def _bytes_of(array: np.ndarray) -> int:
    if array.dtype != object:
        return array.nbytes
    return sum(len(v) if isinstance(v, bytes) else v.nbytes for v in array)
