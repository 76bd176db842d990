"""The examples of a split as they are trained on: preprocessed, framed, in arrays of one size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

BATCH = 1024  # examples that are preprocessed at once

Arrays = np.ndarray | Mapping[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Examples:
    """What a feed makes batches of.

    Attributes:
        inputs: ``[n, ...]``, or several by name.
        targets: ``[n, ...]``; None: the inputs are what is predicted, once they are preprocessed.
        weights: ``[n]``, how much each counts; None: all the same.
    """

    inputs: Arrays
    targets: np.ndarray | None = None
    weights: np.ndarray | None = None

    def __len__(self) -> int:
        return len(tf.nest.flatten(self.inputs)[0])

    @property
    def arrays(self) -> dict[str, Any]:
        """Those that there are, by ``inputs``, ``targets`` and ``weights``."""
        found = {"inputs": self.inputs, "targets": self.targets, "weights": self.weights}
        return {name: value for name, value in found.items() if value is not None}

    @property
    def nbytes(self) -> int:
        """Of all arrays."""
        return sum(array.nbytes for array in tf.nest.flatten(self.arrays))

    @property
    def element_spec(self) -> Any:
        """Of a batch of inputs, with any number of examples."""
        return tf.nest.map_structure(
            lambda a: tf.TensorSpec([None, *a.shape[1:]], a.dtype), self.inputs
        )


def in_batches(inputs: Arrays, batch: int = BATCH) -> Iterator[Any]:
    """The inputs in order, as tensors; one by one where they differ in size."""
    arrays = tf.nest.flatten(inputs)
    uneven = any(a.dtype == object and len(a) and not isinstance(a[0], bytes) for a in arrays)
    size = 1 if uneven else batch
    for first in range(0, len(arrays[0]), size):
        yield tf.nest.map_structure(lambda a, at=first: _tensor(a[at : at + size]), inputs)


def _tensor(array: np.ndarray) -> tf.Tensor:
    if array.dtype == object and len(array) and not isinstance(array[0], bytes):
        return tf.constant(array[0])[None]
    return tf.constant(array)
