"""In which order training visits the examples of a split: a pure function of (seed, epoch)."""

from __future__ import annotations

import tensorflow as tf

KINDS = ("shuffled", "contiguous")


class Order:
    """The order of an epoch.

    Args:
        kind: ``shuffled``: sorts n random words drawn with the key (seed, epoch). ``contiguous``:
            row i of each batch goes on where row i of the batch before has ended, in every epoch,
            which is what a layer needs that carries state from batch to batch.
        size: examples of an epoch.
        batch: global batch size.

    Attributes:
        lengths: to which batches are cut, ascending; none: they are left as they are.
    """

    lengths: tuple[int, ...] = ()

    def __init__(self, kind: str, size: int, batch: int) -> None:
        self.kind = kind
        self.size = size
        self.batch = batch

    def __call__(self, seed: tf.Tensor | int, epoch: tf.Tensor | int) -> tf.Tensor:
        """The indices of one epoch, int32 [n], eagerly or in graph."""
        if self.kind == "contiguous":
            return self._contiguous()
        key = tf.stack([tf.cast(seed, tf.int64), tf.cast(epoch, tf.int64)])
        # Sorting random bits, which is the same permutation by whatever it is compiled.
        bits = tf.random.stateless_uniform(
            [self.size], key, minval=None, maxval=None, dtype=tf.int32, alg="philox"
        )
        return tf.math.top_k(bits, k=self.size).indices

    def bucket(self, indices: tf.Tensor) -> tf.Tensor:
        """Which of ``lengths`` a batch of the examples at ``indices`` is cut to, int32."""
        del indices  # all are of one length
        return tf.constant(0)

    def _contiguous(self) -> tf.Tensor:
        steps = self.size // self.batch
        whole = tf.transpose(tf.reshape(tf.range(steps * self.batch), [self.batch, steps]))
        return tf.concat([tf.reshape(whole, [-1]), tf.range(steps * self.batch, self.size)], 0)
