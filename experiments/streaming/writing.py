"""Writes made-up images as TFDS would, some hundred times as fast: all records are of one length.

Pixels are below 128, so that each takes one byte of a ``tf.train.Example``. Each class has an image
of its own, under noise.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from google_crc32c import value as crc32c

NAME, VERSION = "many", "1.0.0"
CLASSES = 10
SHARD = 250_000  # examples of a file
ROWS = 50_000  # that are made at once


def write(folder: Path, splits: Mapping[str, int], shape: Sequence[int]) -> Path:
    """Write the dataset ``many``, ``splits`` examples each; returns where it lies."""
    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Tensor(shape=tuple(shape), dtype=np.uint8),
            "label": tfds.features.ClassLabel(num_classes=CLASSES),
        }
    )
    place = folder / NAME / VERSION
    place.mkdir(parents=True)
    random, infos = np.random.default_rng(0), []
    own = random.integers(0, 128, [CLASSES, int(np.prod(shape))])
    for split, count in splits.items():
        lengths = [min(SHARD, count - first) for first in range(0, count, SHARD)]
        template = tfds.core.ShardedFileTemplate(
            data_dir=place, dataset_name=NAME, split=split, filetype_suffix="tfrecord"
        )
        size = 0
        for shard, length in enumerate(lengths):
            path = template.sharded_filepath(shard_index=shard, num_shards=len(lengths))
            with open(path, "wb") as file:
                for first in range(0, length, ROWS):
                    rows = min(ROWS, length - first)
                    labels = (first + np.arange(rows)) % CLASSES
                    noise = random.integers(-48, 49, [rows, own.shape[1]])
                    pixels = np.clip(own[labels] + noise, 0, 127).astype(np.uint8)
                    size += file.write(_framed(features, shape, pixels, labels))
        infos.append(
            tfds.core.SplitInfo(
                name=split, shard_lengths=lengths, num_bytes=size, filename_template=template
            )
        )
    tfds.folder_dataset.write_metadata(
        data_dir=place, features=features, split_infos=infos, filename_template=None
    )
    return place


def _framed(
    features: tfds.features.FeaturesDict,
    shape: Sequence[int],
    pixels: np.ndarray,
    labels: np.ndarray,
) -> bytes:
    """Records as a file holds them: length, its checksum, data, its checksum."""
    zero, one = (_stored(features, shape, pixel=0, label=label) for label in (0, 1))
    (label_at,) = np.flatnonzero(zero != one)
    (image_at) = np.flatnonzero(zero != _stored(features, shape, pixel=1, label=0))
    data = np.tile(zero, [len(pixels), 1])
    data[:, label_at], data[:, image_at] = labels, pixels
    length = struct.pack("<Q", data.shape[1])
    head = np.frombuffer(length + struct.pack("<I", _masked(crc32c(length))), np.uint8)
    checks = np.array([_masked(crc32c(row)) for row in map(bytes, data)], "<u4")
    tail = checks.view(np.uint8).reshape([-1, 4])
    return np.hstack([np.tile(head, [len(data), 1]), data, tail]).tobytes()


def _stored(
    features: tfds.features.FeaturesDict, shape: Sequence[int], pixel: int, label: int
) -> np.ndarray:
    example = {"image": np.full(shape, pixel, np.uint8), "label": label}
    return np.frombuffer(features.serialize_example(features.encode_example(example)), np.uint8)


def _masked(crc: int) -> int:
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
