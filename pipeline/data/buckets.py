"""Batches of sequences of about one length, so that less padding is computed (``dataset.buckets``).

What batches are cut to is decided here, by what is padding at the end of each example; the training
step cuts them. What cannot be cut is refused by ``pipeline/bucketing.py``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from layers.core.context import fold
from pipeline.data.examples import BATCH
from pipeline.data.order import Order


def lengths_of(inputs: np.ndarray, padding: float = 0) -> np.ndarray:
    """Steps of each example up to its last that is not all ``padding``, int32 ``[n]``.

    Args:
        inputs: ``[n, length, ...]``. What is padding at the beginning or in the middle counts.
    """
    found = [np.empty([0], np.int32)]
    for first in range(0, len(inputs), BATCH):
        counts = inputs[first : first + BATCH] != padding
        counts = counts.reshape([*counts.shape[:2], -1]).any(-1)
        after = counts[:, ::-1].argmax(1)  # steps after the last that counts; 0 where none does
        found.append(np.where(counts.any(1), counts.shape[1] - after, 0).astype(np.int32))
    return np.concatenate(found)


class Bucketed(Order):
    """Shuffled, in batches of one bucket each, but for those where one bucket ends.

    The examples of an epoch are those that ``Order`` shuffles to its front, so as many are left out
    as without buckets, by the same chance. They are put by bucket, in each as they were shuffled;
    cut into batches; and the batches come in an order of their own, drawn by (seed, epoch) too.

    Args:
        steps: of each example, ``[n]``, see ``lengths_of``.
        buckets: ascending lengths, the last that of the longest or more.
        batch: global batch size.

    Attributes:
        lengths: those of ``buckets`` that are the shortest to hold some example.
        numbers: which of them each example is in, int32 ``[n]``.
    """

    def __init__(self, steps: np.ndarray, buckets: Sequence[int], batch: int) -> None:
        super().__init__("shuffled", len(steps), batch)
        used, numbers = np.unique(np.searchsorted(buckets, steps), return_inverse=True)
        self.lengths = tuple(int(buckets[number]) for number in used)
        self.numbers = numbers.astype(np.int32)
        self._numbers = tf.constant(self.numbers)  # an input of graphs, not a constant in them

    def __call__(self, seed: tf.Tensor | int, epoch: tf.Tensor | int) -> tf.Tensor:
        """The indices of one epoch, int32 [n], eagerly or in graph."""
        shuffled = super().__call__(seed, epoch)
        steps = self.size // self.batch
        kept, left = shuffled[: steps * self.batch], shuffled[steps * self.batch :]
        # Among equals top_k has the first one first: they stay as they were shuffled.
        by_bucket = tf.math.top_k(-tf.gather(self._numbers, kept), k=steps * self.batch).indices
        batches = tf.reshape(tf.gather(kept, by_bucket), [steps, self.batch])
        key = fold(tf.stack([tf.cast(seed, tf.int64), tf.cast(epoch, tf.int64)]), "batches")
        bits = tf.random.stateless_uniform(
            [steps], key, minval=None, maxval=None, dtype=tf.int32, alg="philox"
        )
        batches = tf.gather(batches, tf.math.top_k(bits, k=steps).indices)
        return tf.concat([tf.reshape(batches, [-1]), left], 0)

    def bucket(self, indices: tf.Tensor) -> tf.Tensor:
        """That of the longest example."""
        return tf.reduce_max(tf.gather(self._numbers, indices))

    def shares(self) -> dict[int, float]:
        """How much of the examples each of ``lengths`` has."""
        counts = np.bincount(self.numbers, minlength=len(self.lengths))
        return dict(zip(self.lengths, (counts / self.size).tolist(), strict=True))

    def computed(self, seed: int, epoch: int = 0) -> int:
        """Steps of sequences that an epoch computes, padding among them."""
        batches = self.size // self.batch
        order = self(seed, epoch).numpy()[: batches * self.batch]
        numbers = self.numbers[order.reshape([batches, self.batch])].max(1)
        return int(np.asarray(self.lengths)[numbers].sum() * self.batch)
