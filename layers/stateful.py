"""A recurrent layer that goes on where the last batch ended."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from layers.cells import cell_in
from layers.core.arguments import whole
from layers.core.base import Layer
from layers.core.context import step_context
from layers.core.errors import LayerError
from layers.recurrent import build_cell, scan


class Stateful(Layer):
    """Carries a cell's state from one training batch to the next: truncated backpropagation.

    ``[batch, time, inputs] -> [batch, units]``, as ``Recurrent``. Row i of a batch begins with the
    state in which row i of the batch before it ended (Williams and Peng 1990); no gradient goes
    back into that batch. The state is zero at first, after ``reset()``, and when an epoch begins.
    In evaluation every sequence begins with zero, and the training's state is left alone.

    Every replica holds the state of the whole global batch, reads its own rows and learns the
    others' new ones. So a checkpoint has the state exactly, for any number of replicas. Replicas
    wait for each other: do not call the layer in a ``tf.cond``, ``tf.while_loop`` or
    ``tf.function`` inside the replica's function.

    Args:
        cell: an ``RNNCell``, ``GRUCell``, ``LSTMCell`` or a ``Cell`` of your own.
        batch: examples of a training step, over all replicas; ``${trainer.batch_size}`` in a
            config. It is an argument because the state is a variable: its shape must be known when
            the model is built and when a checkpoint is restored, before there is any step. A
            smaller batch uses the first rows, and the others' state stays.
        return_sequences: give every output, ``[batch, time, units]``, instead of the last.
    """

    def __init__(
        self, cell: Layer, batch: int, return_sequences: bool = False, **options: Any
    ) -> None:
        super().__init__(**options)
        self.cell = cell_in(self, "cell", cell)
        self.batch = whole(self, "batch", batch)
        self.return_sequences = return_sequences

    def build(self, x: tf.TensorSpec) -> None:
        build_cell(self, self.cell, x)
        self.carried = [
            self.state(str(i), [self.batch, size], "zeros", "replicated", self.statistics_dtype)
            for i, size in enumerate(tf.nest.flatten(self.cell.state_size))
        ]

    def reset(self) -> None:
        """Begin with zeros again."""
        for table in self.carried:
            table.assign(tf.zeros_like(table))

    def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        self.require_rank(x, 3, "[batch, time, inputs]")
        if not training:
            state = self.cell.initial_state(tf.shape(x)[0])
            outputs, last, _ = scan(self.cell, x, state, training)
            return outputs if self.return_sequences else last
        self._check_batch(x)
        rows = self._rows(x)
        # A variable that is not trainable, assigned: no gradient goes through it.
        tables = [table.read_value() for table in self.carried]
        begin = tables if rows is None else [tf.gather(table, rows) for table in tables]
        state = tf.nest.pack_sequence_as(self.cell.state_size, begin)
        outputs, last, state = scan(self.cell, x, state, training)
        self._keep(rows, tables, tf.nest.flatten(state))
        return outputs if self.return_sequences else last

    def _check_batch(self, x: tf.Tensor) -> None:
        context = step_context()
        given = context.global_batch if context and context.global_batch else x.shape[0]
        if given is not None and given > self.batch:
            raise LayerError(
                f"{self.label}: holds the state of batch={self.batch} rows, and a step has "
                f"{given}; batch must be the global batch size, over all replicas"
            )

    def _rows(self, x: tf.Tensor) -> tf.Tensor | None:
        """Which rows of the global batch this call has; ``None``: all, in their order."""
        context, distribution = step_context(), tf.distribute.get_replica_context()
        microbatch, microbatches = (context.microbatch, context.microbatches) if context else (0, 1)
        if _replicas() == 1 and microbatches == 1 and x.shape[0] == self.batch:
            return None
        count, first = tf.shape(x)[0], tf.constant(0)
        if _replicas() > 1:
            replica = distribution.replica_id_in_sync_group
            # Shards may differ in size.
            counts = distribution.all_reduce(
                tf.distribute.ReduceOp.SUM, count * tf.one_hot(replica, _replicas(), dtype=tf.int32)
            )
            first = tf.reduce_sum(tf.where(tf.range(_replicas()) < replica, counts, 0))
        first = first * microbatches + tf.cast(microbatch, tf.int32) * count
        return first + tf.range(count)

    def _keep(
        self, rows: tf.Tensor | None, before: list[tf.Tensor], after: list[tf.Tensor]
    ) -> None:
        """Put the new state of these rows, and those of the other replicas, into the tables."""
        after = [tf.cast(part, table.dtype) for part, table in zip(after, before, strict=True)]
        if rows is not None:
            at = rows[:, None]
            written = [
                tf.tensor_scatter_nd_update(tf.zeros_like(table), at, part)
                for part, table in zip(after, before, strict=True)
            ]
            new = tf.tensor_scatter_nd_update(tf.zeros([self.batch]), at, tf.ones(tf.shape(rows)))
            if _replicas() > 1:
                # Each row is written by one replica, so that the sum is exact.
                written, new = tf.distribute.get_replica_context().all_reduce(
                    tf.distribute.ReduceOp.SUM, [written, new]
                )
            after = [
                tf.where(new[:, None] > 0, part, table)
                for part, table in zip(written, before, strict=True)
            ]
        for table, value in zip(self.carried, after, strict=True):
            table.assign(value)


def _replicas() -> int:
    context = tf.distribute.get_replica_context()
    return 1 if context is None else context.num_replicas_in_sync
