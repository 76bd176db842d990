"""Resident feed: a split as tensors on every device, batches gathered inside the graph.

The state of the input is the step number alone. Epoch ``e`` visits the split in the order that
``order.py`` gives it, a pure function of (seed, e); a step takes the next ``batch`` of them, each
replica its slice of those. What is left of an epoch after the last whole batch is left out.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.data.examples import Examples
from pipeline.data.order import Order
from pipeline.errors import DataError


class Feed(ABC):
    """Batches of one split, for training by the step number and for evaluation in stored order.

    Args:
        strategy: whose replicas take the batches.
        name: what messages call the split.
        size: examples.
        batch: global batch size, a multiple of the replicas.
        element_spec: of a batch of inputs as they are stored.
        weighted: whether the examples have weights.
        order: in which training visits them; None: each once an epoch, shuffled.
    """

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        name: str,
        size: int,
        batch: int,
        element_spec: Any,
        weighted: bool = False,
        order: Order | None = None,
    ) -> None:
        self.strategy = strategy
        self.name = name
        self.size = size
        self.batch = batch
        self.replicas = strategy.num_replicas_in_sync
        self.per_replica = batch // self.replicas
        self.element_spec = element_spec
        self.weighted = weighted
        self.order = order or Order("shuffled", size, batch)

    @property
    def lengths(self) -> tuple[int, ...]:
        """To which batches of training are cut, if they are; see ``buckets.py``."""
        return self.order.lengths

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in an epoch; at least 1, else ``DataError``."""
        size = self.order.size
        if size < self.batch:
            raise DataError(
                f"split {self.name!r} has {size} examples, fewer than one batch: "
                f"trainer.batch_size={self.batch}. Make the batch at most {size}."
            )
        return size // self.batch

    @property
    def evaluation_steps(self) -> int:
        """Batches that cover every example, the last one possibly short."""
        return -(-self.size // self.batch)

    # Of each feed --------------------------------------------------------------------------------

    def most_from(self, step: int) -> int | None:
        """Steps that one call may take from ``step`` on; None: any number."""
        return None

    # In graph:

    @abstractmethod
    def order_of(self, orders: tf.Tensor, epoch: tf.Tensor) -> tf.Tensor:
        """What ``training_indices`` needs in the epoch that is the ``epoch``-th of ``orders``."""

    @abstractmethod
    def training_indices(
        self, order: tf.Tensor, step: tf.Tensor, position: tf.Tensor, replica: Any
    ) -> tf.Tensor:
        """Where this replica's part of a batch is in what the replica holds: int32 [per_replica].

        Args:
            position: of the batch in the epoch.
        """

    def bucket(self, order: tf.Tensor, position: tf.Tensor) -> tf.Tensor:
        """Which of ``lengths`` the batch at ``position`` of the epoch is cut to, int32."""
        del order, position  # there are none
        return tf.constant(0)

    @abstractmethod
    def evaluation_indices(
        self, position: tf.Tensor, replica: Any, first: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Where this replica's part of a batch in stored order is, and a mask, 1.0 where an index
        is a real example.

        Every batch has one static shape; what lies beyond the split repeats its last example
        with mask 0, so uneven and even empty shards count for exactly what they hold.

        Args:
            first: the batch with which what the replica holds begins.
        """

    def on_each_replica(self, make: Any) -> Any:
        """A structure of tensors on each replica's device: ``make(replica)`` gives its arrays."""
        devices = self.strategy.extended.worker_devices
        arrays = [make(replica) for replica in range(self.replicas)]

        def place(parts: tuple[np.ndarray, ...]) -> Any:
            def at(context: tf.distribute.InputContext) -> tf.Tensor:
                replica = int(context.replica_id_in_sync_group)
                with tf.device(devices[replica]):
                    return tf.identity(tf.constant(parts[replica]))

            return self.strategy.experimental_distribute_values_from_function(at)

        return tf.nest.map_structure(lambda *parts: place(parts), *arrays)


class ResidentFeed(Feed):
    """One split, held whole by each replica in its stored (smallest) dtype."""

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        name: str,
        examples: Examples,
        batch: int,
        order: Order | None = None,
    ) -> None:
        super().__init__(
            strategy,
            name,
            len(examples),
            batch,
            examples.element_spec,
            weighted=examples.weights is not None,
            order=order,
        )
        self.data = self.on_each_replica(lambda replica: examples.arrays)

    def orders(self, seed: tf.Tensor, epoch: tf.Tensor, count: tf.Tensor, most: int) -> tf.Tensor:
        """Those of ``count`` epochs from ``epoch`` on, int32 [most, n]; the rest is zero."""
        rows = tf.TensorArray(tf.int32, most, element_shape=[self.order.size])
        _, rows = tf.while_loop(
            lambda i, _: i < count,
            lambda i, rows: (i + 1, rows.write(i, self.order(seed, epoch + tf.cast(i, tf.int64)))),
            (tf.constant(0), rows),
        )
        return rows.stack()

    def order_of(self, orders: tf.Tensor, epoch: tf.Tensor) -> tf.Tensor:
        return tf.gather(orders, epoch)

    def training_indices(
        self, order: tf.Tensor, step: tf.Tensor, position: tf.Tensor, replica: Any
    ) -> tf.Tensor:
        start = position * self.batch + replica * self.per_replica
        # Not tf.slice: XLA takes its start for a constant and compiles anew at every step.
        return tf.gather(order, start + tf.range(self.per_replica))

    def bucket(self, order: tf.Tensor, position: tf.Tensor) -> tf.Tensor:
        return self.order.bucket(tf.gather(order, position * self.batch + tf.range(self.batch)))

    def evaluation_indices(
        self, position: tf.Tensor, replica: Any, first: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        start = position * self.batch + replica * self.per_replica
        indices = start + tf.range(self.per_replica)
        mask = tf.cast(indices < self.size, tf.float32)
        return tf.minimum(indices, self.size - 1), mask
