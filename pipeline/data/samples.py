"""Examples of a prepared dataset to look at: all of them, or as many as is reasonable.

Of a split that is streamed, or that would be large once it is preprocessed, these are examples that
lie evenly spaced in it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.data.examples import BATCH, Examples
from pipeline.data.prepared import Prepared

STREAMED = 1000  # examples of a split that is streamed
BYTES = 256 << 20  # of preprocessed examples


class Samples:
    """Of each split of ``prepared``, by its role."""

    def __init__(self, prepared: Prepared) -> None:
        self.prepared = prepared
        self._found: dict[str, Examples] = {}

    def size(self, role: str) -> int:
        """Examples of the whole split, as they are framed."""
        if self.prepared.is_streamed(role):
            return len(self.prepared.reader(role))
        return len(self.prepared.examples(role))

    def stored(self, role: str) -> Any:
        """The inputs as TFDS decodes them; arrays of objects where they differ in size."""
        if not self.prepared.is_streamed(role):
            return self.prepared.source.split(role).inputs
        reader = self.prepared.reader(role)
        return reader.sample(spread(len(reader), STREAMED)).inputs

    def targets(self, role: str) -> np.ndarray:
        """Of each example; all of a split that is not streamed."""
        streamed = self.prepared.is_streamed(role)
        found = (self.examples if streamed else self.prepared.examples)(role).targets
        assert found is not None
        return found

    def taken(self, role: str) -> Any:
        """The inputs as the model takes them, ``[n, ...]``, or several by name."""
        return self.after_device_steps(self.examples(role).inputs)

    def examples(self, role: str) -> Examples:
        """As the device has them."""
        if role not in self._found:
            specs = tf.nest.flatten(self.prepared.model_inputs)
            each = sum(4 * int(np.prod(spec.shape.as_list()[1:])) for spec in specs)
            most = STREAMED if self.prepared.is_streamed(role) else max(1, BYTES // each)
            self._found[role] = self.at(role, spread(self.size(role), most))
        return self._found[role]

    def at(self, role: str, rows: np.ndarray) -> Examples:
        """The examples at ``rows``, as the device has them."""
        if self.prepared.is_streamed(role):
            return self.prepared.reader(role)(rows)
        arrays = tf.nest.map_structure(lambda a: a[rows], self.prepared.examples(role).arrays)
        return Examples(arrays["inputs"], arrays.get("targets"), arrays.get("weights"))

    def after_device_steps(self, inputs: Any) -> Any:
        """What the steps that run on the device make of ``inputs``."""
        parts = []
        for first in range(0, len(tf.nest.flatten(inputs)[0]), BATCH):
            part = tf.nest.map_structure(
                lambda a, at=first: tf.constant(a[at : at + BATCH]), inputs
            )
            made = self.prepared.preprocessing.device(part)
            parts.append(tf.nest.map_structure(lambda t: t.numpy(), made))
        return tf.nest.map_structure(lambda *own: np.concatenate(own), *parts)


def spread(count: int, most: int) -> np.ndarray:
    """At most ``most`` of ``count`` indices, evenly spaced."""
    return np.linspace(0, count - 1, min(count, most)).astype(np.int64)
