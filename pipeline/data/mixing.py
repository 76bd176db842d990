"""In which order training visits several sets that are mixed: a pure function of (seed, epoch).

What the sets are is ``mixed.py``'s. Here they are numbers: examples of the dataset's own training
split first, then those of each further set, in one row.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from pipeline.data.order import Order

_PASSES = 1 << 40  # more than a set is ever gone through: keys of the sets stay apart


class Mixing(Order):
    """The order of an epoch: one pass over the own examples, and of each further set its share.

    Own examples come in the order that they have without a mix. A further set is gone through in
    passes, each in an order of its own, and every epoch goes on in it where the one before stopped:
    none of its examples comes again before all have come. The sets alternate, always alike: of two,
    any stretch of an epoch has both in their shares, to within one example.

    Args:
        sizes: examples of the own set, then of each further one.
        counts: of each, how many come in an epoch; of the own set all.
        batch: global batch size.
    """

    def __init__(self, sizes: Sequence[int], counts: Sequence[int], batch: int) -> None:
        super().__init__("shuffled", sum(counts), batch)
        assert sizes[0] == counts[0]
        self.sizes = tuple(sizes)
        self.counts = tuple(counts)
        self._own = Order("shuffled", sizes[0], batch)
        self._pattern = tf.constant(alternating(counts), tf.int32)

    def __call__(self, seed: tf.Tensor | int, epoch: tf.Tensor | int) -> tf.Tensor:
        """The indices of one epoch, int32 [n], eagerly or in graph."""
        parts, first = [self._own(seed, epoch)], self.sizes[0]
        for number in range(1, len(self.sizes)):
            parts.append(first + self._further(number, seed, epoch))
            first += self.sizes[number]
        return tf.gather(tf.concat(parts, 0), self._pattern)

    def _further(self, number: int, seed: tf.Tensor | int, epoch: tf.Tensor | int) -> tf.Tensor:
        """What an epoch has of a set: int32 [count], in 0..size-1."""
        size, count = self.sizes[number], self.counts[number]
        begin = tf.cast(epoch, tf.int64) * count  # in the endless row of its passes
        first, last = begin // size, (begin + count - 1) // size  # passes, mostly the same
        most = (count + size - 2) // size + 1
        one = Order("shuffled", size, self.batch)
        orders = tf.TensorArray(tf.int32, most, element_shape=[size])
        _, orders = tf.while_loop(
            lambda k, _: k <= last - first,
            lambda k, orders: (
                k + 1,
                orders.write(tf.cast(k, tf.int32), one(seed, number * _PASSES + first + k)),
            ),
            (tf.constant(0, tf.int64), orders),
        )
        at = tf.cast(begin - first * size, tf.int32) + tf.range(count)
        return tf.gather(tf.reshape(orders.stack(), [-1]), at)


def counted(own: int, shares: Sequence[float]) -> list[int]:
    """How many examples an epoch has of each further set, where ``own`` are the rest of it.

    Args:
        shares: of the examples of an epoch, all together below 1.
    """
    left = 1.0 - sum(shares)
    return [round(own * share / left) for share in shares]


def alternating(counts: Sequence[int]) -> np.ndarray:
    """An order of ``sum(counts)`` things, one set of them after the other, in which the sets
    alternate evenly: int64 indices, ascending within each set."""
    due = [(np.arange(count) + 0.5) / count for count in counts]
    return np.argsort(np.concatenate(due), kind="stable")
