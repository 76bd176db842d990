"""Checks that a layer trains on two replicas as it does on one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from layers.core.model import build
from layers.core.roles import outer_variables
from layers.testing.case import Case, assert_close, mirrored, objective, step, values

_BATCH = 4
# How each of three batches of four is divided: evenly, unevenly, all to the first.
_DIVISIONS = ((0, 2, 4), (0, 3, 4), (0, 4, 4))
_RATE = 0.05


def check_replicas_train_alike(case: Case) -> None:
    """Three steps on two replicas, one shard uneven and one empty, are those of one replica."""
    if case.random:
        return  # its random numbers differ on purpose: see check_replicas_draw_apart
    one_losses, one_values = _train(case, 1, [(0, _BATCH)] * 3)
    two_losses, two_values = _train(case, 2, _DIVISIONS)
    assert_close(two_losses, one_losses, 1e-5, "losses")
    assert_close(two_values, one_values, 1e-5, "variables after three steps")


def _train(
    case: Case, replicas: int, divisions: Sequence[Sequence[int]]
) -> tuple[list[float], dict[str, np.ndarray]]:
    strategy = mirrored(replicas)
    with strategy.scope():
        layer = case.make()
        build(layer, *case.specs)
    weights = list(outer_variables(layer).values())

    def replica_step(batch: Any, bounds: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        context = tf.distribute.get_replica_context()
        replica = context.replica_id_in_sync_group
        first, end = bounds[replica], bounds[replica + 1]
        xs = tf.nest.map_structure(lambda part: part[first:end], batch)
        with (
            step(xs, number, replica, first),
            tf.GradientTape(watch_accessed_variables=False) as tape,
        ):
            tape.watch(weights)
            loss = tf.reduce_sum(objective(layer(*xs, training=True))) / _BATCH
            loss = tf.cast(loss, tf.float32)
        gradients = tape.gradient(loss, weights)
        gradients, loss = context.all_reduce(tf.distribute.ReduceOp.SUM, [gradients, loss])
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.assign_sub(_RATE * gradient)
        return loss

    @tf.function(autograph=False)
    def train(batch: Any, bounds: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        return strategy.run(replica_step, args=(batch, bounds, number))

    losses = []
    for number, bounds in enumerate(divisions):
        batch = case.examples(_BATCH, seed=number)
        loss = train(batch, tf.constant(bounds), tf.constant(number))
        losses.append(strategy.experimental_local_results(loss)[0].numpy())
    assert train.experimental_get_tracing_count() == 1
    for path, variable in layer.named_variables().items():
        if variable.aggregation != tf.VariableAggregation.MEAN:
            first, *others = strategy.experimental_local_results(variable)
            for other in others:
                assert_close(other.numpy(), first.numpy(), 0, f"{path} on two replicas")
    return losses, values(layer)


def check_replicas_draw_apart(case: Case) -> None:
    """Replicas that are given the same examples draw different random numbers, and repeat them."""
    if not case.random:
        return
    strategy = mirrored(2)
    with strategy.scope():
        layer = case.make()
        build(layer, *case.specs)
    xs = case.examples(16)

    def replica_step() -> tf.Tensor:
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        with step(xs, 0, replica):
            return tf.concat(
                [tf.reshape(y, [-1]) for y in tf.nest.flatten(layer(*xs, training=True))], 0
            )

    run = tf.function(lambda: strategy.run(replica_step), autograph=False)
    first, second = (
        [part.numpy() for part in strategy.experimental_local_results(run())] for _ in range(2)
    )
    assert_close(second, first, 0, "the same step again")
    assert not np.array_equal(first[0], first[1]), "both replicas drew the same"
