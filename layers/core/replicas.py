"""Sums over all replicas of a step."""

from __future__ import annotations

import tensorflow as tf


def sum_over_replicas(values: list[tf.Tensor]) -> list[tf.Tensor]:
    """Each of ``values`` summed over the replicas; as they are where there is one.

    Replicas wait for each other here: not inside a ``tf.cond``, ``tf.while_loop`` or
    ``tf.function`` of the replica's function.
    """
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return values
    return context.all_reduce(tf.distribute.ReduceOp.SUM, values)
