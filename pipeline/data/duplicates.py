"""Examples that occur more than once: in one split, or in training and again in a test.

Compared are digests of what is stored, so only what is the same to the bit counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np

from pipeline.data.examples import Arrays


@dataclass(frozen=True)
class Repeats:
    """Of the examples of a split.

    Attributes:
        examples: how many there are.
        known: have the inputs of a training example; in the training split: of one before them.
        changed: of these, those whose inputs occur in training with other targets only.
    """

    examples: int
    known: int
    changed: int


@dataclass(frozen=True, eq=False)
class Digests:
    """uint64 ``[n]`` each: of the inputs, and of the inputs with their targets."""

    inputs: np.ndarray
    examples: np.ndarray


def digests(inputs: Arrays, targets: np.ndarray | None = None) -> Digests:
    """Of each example, in 64 bits: of two different ones they are the same once in 10^19 times.

    Args:
        inputs: ``[n, ...]``, or several by name; objects are bytes or arrays.
        targets: ``[n, ...]``; None where there are none.
    """
    arrays = list(inputs.values()) if isinstance(inputs, Mapping) else [inputs]
    alone = _digests(arrays)
    return Digests(alone, alone if targets is None else _digests([alone, targets]))


def repeats(split: Digests, train: Digests) -> Repeats:
    """How much of ``split`` is known from ``train``; both may be the same."""
    if split is train:
        once = len(np.unique(train.inputs))
        other = len(np.unique(train.examples)) - once
        return Repeats(len(train.inputs), len(train.inputs) - once, other)
    known = np.isin(split.inputs, train.inputs)
    differing = known & ~np.isin(split.examples, train.examples)
    return Repeats(len(known), int(known.sum()), int(differing.sum()))


def _digests(arrays: Sequence[np.ndarray]) -> np.ndarray:
    count = len(arrays[0])
    found = bytearray()
    for row in range(count):
        digest = blake2b(digest_size=8)
        for array in arrays:
            raw = _bytes(array[row])
            digest.update(len(raw).to_bytes(8, "little"))  # what ends one begins no other
            digest.update(raw)
        found += digest.digest()
    return np.frombuffer(bytes(found), np.uint64)


def _bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    array = np.ascontiguousarray(value)
    return array.tobytes() + (str(array.shape).encode() if array.ndim else b"")
