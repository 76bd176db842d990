"""A split of a prepared dataset, decoded into memory once a process."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from functools import cached_property

import absl.logging
import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from pipeline.config import Dataset
from pipeline.errors import DataError

_READ_BATCH = 1024
_CACHE_BYTES = 2 << 30


@dataclass(frozen=True, eq=False)
class Split:
    """Examples in the order in which they lie on disk. The arrays are shared: they are read-only.

    Attributes:
        name: the TFDS split expression, such as ``train[:90%]``.
        inputs: ``[n, ...]`` in the dtype that TFDS decodes to; images are uint8.
        labels: ``[n]`` int32.
    """

    name: str
    inputs: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the decoded content, in hex. The files differ from one writing to the next."""
        sha = hashlib.sha256()
        for array in (self.inputs, self.labels):
            sha.update(f"{array.dtype.str}{array.shape}".encode())
            sha.update(np.ascontiguousarray(array).data)
        return sha.hexdigest()


# A sweep runs many trials in one process; they read the same splits. Least recently used first.
_cache: OrderedDict[Hashable, Split] = OrderedDict()


def read(builder: tfds.core.DatasetBuilder, expression: str, config: Dataset) -> Split:
    """The split that a TFDS ``expression`` selects, its inputs and target as ``config`` names them.

    Raises:
        DataError: damaged files, or examples that differ in size.
    """
    written = os.stat(builder.data_path / "dataset_info.json").st_mtime_ns
    key = (builder.data_dir, written, expression, config.inputs, config.target)
    if key not in _cache:
        _cache[key] = _decode(builder, expression, config)
        held = sum(split.inputs.nbytes + split.labels.nbytes for split in _cache.values())
        while held > _CACHE_BYTES and len(_cache) > 1:
            _, oldest = _cache.popitem(last=False)
            held -= oldest.inputs.nbytes + oldest.labels.nbytes
    _cache.move_to_end(key)
    return _cache[key]


def _decode(builder: tfds.core.DatasetBuilder, expression: str, config: Dataset) -> Split:
    options = tf.data.Options()
    options.deterministic = True
    # The autotuner sleeps between looks, and deleting an iterator waits for it: up to seconds.
    options.autotune.enabled = False
    with _tfds_silent():
        dataset = builder.as_dataset(
            split=expression,
            shuffle_files=False,
            decoders=tfds.decode.PartialDecoding({config.inputs: True, config.target: True}),
            read_config=tfds.ReadConfig(
                options=options,
                try_autocache=False,
                skip_prefetch=True,
                interleave_cycle_length=1,  # file after file: the order does not depend on shards
            ),
        )
    examples = int(dataset.cardinality())
    labels = np.empty([examples], np.int32)
    inputs: np.ndarray | None = None
    position = 0
    try:
        for batch in _batches(dataset):
            values = batch[config.inputs]
            if inputs is None:
                inputs = np.empty([examples, *values.shape[1:]], values.dtype)
            elif values.shape[1:] != inputs.shape[1:]:
                raise sizes_differ(builder, config, expression)
            inputs[position : position + len(values)] = values
            labels[position : position + len(values)] = batch[config.target]
            position += len(values)
    except tf.errors.OpError as error:
        uneven = None in builder.info.features[config.inputs].shape and "batch" in error.message
        if uneven:  # the batch op refuses them in several wordings
            raise sizes_differ(builder, config, expression) from error
        reason = re.sub(r"\{\{.*?\}\}|\[Op:.*", "", error.message).strip()
        raise DataError(
            f"{builder.data_dir} is damaged: reading {expression!r} stopped with "
            f"{type(error).__name__}: {reason}\n"
            "Delete the folder and prepare the dataset again."
        ) from error
    inputs = np.empty([0], np.uint8) if inputs is None else inputs
    inputs.flags.writeable = labels.flags.writeable = False
    return Split(expression, inputs, labels)


@contextlib.contextmanager
def _tfds_silent() -> Iterator[None]:
    """PartialDecoding makes TFDS warn of a deprecated property that it reads itself."""
    verbosity = absl.logging.get_verbosity()
    absl.logging.set_verbosity(absl.logging.ERROR)
    try:
        yield
    finally:
        absl.logging.set_verbosity(verbosity)


def _batches(dataset: tf.data.Dataset) -> Iterator[dict[str, np.ndarray]]:
    return dataset.batch(_READ_BATCH).prefetch(2).as_numpy_iterator()


def sizes_differ(builder: tfds.core.DatasetBuilder, config: Dataset, where: str) -> DataError:
    """The error for examples that do not make one array."""
    return DataError(
        f"{config.inputs!r} of {builder.info.full_name} differs in size from example to example "
        f"(split {where}; TFDS declares {builder.info.features[config.inputs].shape}). "
        "A batch needs one size: use a dataset, or a config of it, whose examples share one."
    )
