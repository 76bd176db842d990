"""Resident feed: a split as tensors on every device, batches gathered inside the graph.

The state of the input is the step number alone. Epoch ``e`` visits the split in the order that
sorts n random words drawn with the key (seed, e), a pure function of both; a step takes the next
``batch`` of them, each replica its slice of those. What is left of an epoch after the last whole
batch is left out, another remainder each epoch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.errors import DataError


class ResidentFeed:
    """One split, held whole by each replica in its stored (smallest) dtype.

    Args:
        strategy: whose replicas hold the data.
        name: what messages call the split.
        inputs: ``[n, ...]``.
        labels: ``[n, ...]``.
        batch: global batch size, a multiple of the replicas.
    """

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        name: str,
        inputs: np.ndarray,
        labels: np.ndarray,
        batch: int,
    ) -> None:
        self.strategy = strategy
        self.name = name
        self.size = len(labels)
        self.batch = batch
        self.replicas = strategy.num_replicas_in_sync
        self.per_replica = batch // self.replicas
        self.inputs = self._on_each_replica(inputs)
        self.labels = self._on_each_replica(labels)
        self.element_spec = tf.TensorSpec([None, *inputs.shape[1:]], inputs.dtype)

    def _on_each_replica(self, array: np.ndarray) -> Any:
        devices = self.strategy.extended.worker_devices

        def place(context: tf.distribute.InputContext) -> tf.Tensor:
            with tf.device(devices[int(context.replica_id_in_sync_group)]):
                return tf.identity(tf.constant(array))

        return self.strategy.experimental_distribute_values_from_function(place)

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in the split; at least 1, else ``DataError``."""
        if self.size < self.batch:
            raise DataError(
                f"split {self.name!r} has {self.size} examples, fewer than one batch: "
                f"trainer.batch_size={self.batch}. Make the batch at most {self.size}."
            )
        return self.size // self.batch

    @property
    def evaluation_steps(self) -> int:
        """Batches that cover every example, the last one possibly short."""
        return -(-self.size // self.batch)

    def order(self, seed: tf.Tensor | int, epoch: tf.Tensor) -> tf.Tensor:
        """The indices of one epoch, int32 [n], in graph."""
        key = tf.stack([tf.cast(seed, tf.int64), tf.cast(epoch, tf.int64)])
        # Sorting random bits, which is the same permutation by whatever it is compiled.
        bits = tf.random.stateless_uniform(
            [self.size], key, minval=None, maxval=None, dtype=tf.int32, alg="philox"
        )
        return tf.math.top_k(bits, k=self.size).indices

    def orders(self, seed: tf.Tensor, epoch: tf.Tensor, count: tf.Tensor, most: int) -> tf.Tensor:
        """Those of ``count`` epochs from ``epoch`` on, int32 [most, n]; the rest is zero."""
        rows = tf.TensorArray(tf.int32, most, element_shape=[self.size])
        _, rows = tf.while_loop(
            lambda i, _: i < count,
            lambda i, rows: (i + 1, rows.write(i, self.order(seed, epoch + tf.cast(i, tf.int64)))),
            (tf.constant(0), rows),
        )
        return rows.stack()

    def training_indices(self, order: tf.Tensor, position: tf.Tensor, replica: Any) -> tf.Tensor:
        """This replica's part of the batch at ``position`` in the epoch, int32 [per_replica]."""
        start = position * self.batch + replica * self.per_replica
        # Not tf.slice: XLA takes its start for a constant and compiles anew at every step.
        return tf.gather(order, start + tf.range(self.per_replica))

    def evaluation_indices(self, position: tf.Tensor, replica: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """Indices in stored order and a mask, 1.0 where the index is a real example.

        Every batch has one static shape; what lies beyond the split repeats its last example
        with mask 0, so uneven and even empty shards count for exactly what they hold.
        """
        start = position * self.batch + replica * self.per_replica
        indices = start + tf.range(self.per_replica)
        mask = tf.cast(indices < self.size, tf.float32)
        return tf.minimum(indices, self.size - 1), mask
