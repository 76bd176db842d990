"""Sums over all replicas of a step."""

from __future__ import annotations

import tensorflow as tf


def alone() -> bool:
    """Whether no other replica takes part in this step."""
    context = tf.distribute.get_replica_context()
    return context is None or context.num_replicas_in_sync == 1


def sum_over_replicas(values: list[tf.Tensor]) -> list[tf.Tensor]:
    """Each of ``values`` summed over the replicas; as they are where there is one.

    Replicas wait for each other here: not inside a ``tf.cond``, ``tf.while_loop`` or
    ``tf.function`` of the replica's function.
    """
    if alone():
        return values
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, values)
