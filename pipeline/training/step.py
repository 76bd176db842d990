"""One optimizer step on one replica: gather, forward, backward, reduce, clip, update.

Everything here runs in replica context while the graph is traced. A step reports one row of
numbers, alike on all replicas; ``columns`` names them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import tensorflow as tf

from layers import (
    Layer,
    carrying,
    outer_variables,
    penalty_of,
    published_metrics,
    training_step,
)
from pipeline.data.augment import Augmentation, neighbours
from pipeline.data.feed import Feed
from pipeline.training.average import WeightAverage
from pipeline.training.columns import Columns
from pipeline.training.metrics import sums_of
from pipeline.training.norms import global_norm
from pipeline.training.optimizers import Optimizer
from pipeline.training.tasks import Task


class TrainingStep:
    """The per-replica training step of a model under a task and an optimizer.

    Args:
        preprocess: stored inputs to those of the model, in graph.
        factor: the schedule, ``f(step)``.
        clip_norm: largest global norm of the summed gradients; ``None``: any.
        accumulate: microbatches whose gradients are summed before the one reduction.
        mode: of compilation. ``gradients``: forward and backward of each microbatch by XLA;
            ``loop``: the caller compiles all of it.
        augmentation: changes the inputs, as the model takes them, at random.
    """

    def __init__(
        self,
        model: Layer,
        task: Task,
        optimizer: Optimizer,
        feed: Feed,
        preprocess: Callable[[Any], Any],
        factor: Callable[[tf.Tensor], tf.Tensor],
        clip_norm: float | None,
        accumulate: int,
        average: WeightAverage | None,
        mode: str,
        augmentation: Augmentation | None = None,
    ) -> None:
        self.model = model
        self.task = task
        self.optimizer = optimizer
        self.feed = feed
        self.preprocess = preprocess
        self.factor = factor
        self.clip_norm = clip_norm
        self.accumulate = accumulate
        self.average = average
        self.mode = mode
        self.augmentation = augmentation
        self.trainable = outer_variables(model)
        self.published = published_metrics(model)
        self.carrying = carrying(model)
        self.penalty = penalty_of(model, self.trainable)
        self._compiled_backward: dict[tuple[int, int | None, int], Any] = {}
        penalised = ("regularization",) if self.penalty else ()
        self.metrics = task.training_metrics
        self.columns = Columns(
            self.metrics, (*self.published, *penalised), feed.batch, feed.weighted
        )

    def __call__(
        self,
        step: tf.Tensor,
        order: Any,
        position: tf.Tensor,
        data: Any,
        seed: tf.Tensor,
        learning_rate: tf.Tensor,
        length: int | None = None,
    ) -> tf.Tensor:
        """One step. ``data``: what this replica holds of the feed's examples; ``length``: to which
        sequences are cut, once they are augmented; None: as they are.

        Returns a float32 row, see ``columns``: sums over the global batch, then the gradient's norm
        before clipping, then the learning rate.
        """
        context = tf.distribute.get_replica_context()
        replica = context.replica_id_in_sync_group
        self._begin_epoch(position)
        indices = self.feed.training_indices(order, step, position, replica)
        gradients, sums = self._microbatches(step, replica, indices, data, seed, length)
        # The scopes name the parts of a step for a profile (profile.py).
        with tf.name_scope("reduce"):
            gradients, sums = context.all_reduce(tf.distribute.ReduceOp.SUM, [gradients, sums])
            gradients, norm = self._clip(gradients)
        with tf.name_scope("update"):
            scale = self.factor(step)
            by_path = dict(zip(self.trainable, gradients, strict=True))
            self.optimizer.apply(by_path, scale, learning_rate)
            if self.average is not None:
                self.average.update(step)
            rate = tf.cast(learning_rate * scale, tf.float32)
        return tf.concat([sums, [norm, rate]], 0)

    def _clip(self, gradients: list[tf.Tensor]) -> tuple[list[tf.Tensor], tf.Tensor]:
        """The gradients, no longer than ``clip_norm``, and how long they were."""
        # A model whose every layer trains itself leaves nothing to this optimizer.
        norm = global_norm(gradients, self.mode == "loop")
        if self.clip_norm is not None:
            # Not clip_by_global_norm: it would turn a norm that is not finite into zeros or NaN
            # silently, where the row's norm must show it.
            shrink = self.clip_norm / tf.maximum(norm, self.clip_norm)
            gradients = [g * tf.cast(shrink, g.dtype) for g in gradients]
        return gradients, norm

    def _begin_epoch(self, position: tf.Tensor) -> None:
        """Before the first step of an epoch, layers forget what they carry between batches."""

        def forget() -> tf.Tensor:
            for layer in self.carrying:
                layer.reset()
            return tf.constant(True)

        if self.carrying:
            tf.cond(tf.equal(position, 0), forget, lambda: tf.constant(False))

    def _microbatches(
        self,
        step: tf.Tensor,
        replica: Any,
        indices: tf.Tensor,
        data: Any,
        seed: tf.Tensor,
        length: int | None,
    ) -> tuple[list[tf.Tensor], tf.Tensor]:
        """Gradients of ``sum(loss) / global batch`` and the metrics' sums, over this replica."""
        gradients: list[tf.Tensor] = []
        sums = tf.zeros([len(self.columns) - 2])
        # Unrolled: BatchNorm reduces over the replicas, which no loop inside a replica allows.
        for number, part in enumerate(tf.split(indices, self.accumulate)):
            # One microbatch after the other, so that only one is in memory.
            with tf.control_dependencies([sums]), tf.name_scope("input"):
                batch = tf.nest.map_structure(lambda held, part=part: tf.gather(held, part), data)
            more, part_sums = self._backward(number, length)(batch, step, replica, seed)
            gradients = [a + b for a, b in zip(gradients, more, strict=True)] if gradients else more
            sums += part_sums
        return gradients, sums

    def _positions(self, replica: Any, microbatch: int) -> tf.Tensor:
        """Where in the global batch the examples of a microbatch are, int32."""
        size = self.feed.per_replica // self.accumulate
        return replica * self.feed.per_replica + microbatch * size + tf.range(size)

    def _backward(
        self, microbatch: int, length: int | None
    ) -> Callable[..., tuple[list[tf.Tensor], tf.Tensor]]:
        if self.mode != "gradients":
            return partial(self._gradients, microbatch, length)
        key = (microbatch, length, threading.get_ident())
        if key not in self._compiled_backward:
            self._compiled_backward[key] = tf.function(
                partial(self._gradients, microbatch, length),
                jit_compile=True,
                autograph=False,
            )
        return self._compiled_backward[key]

    def _gradients(
        self,
        microbatch: int,
        length: int | None,
        batch: dict[str, Any],
        step: tf.Tensor,
        replica: Any,
        seed: tf.Tensor,
    ) -> tuple[list[tf.Tensor], tf.Tensor]:
        variables = list(self.trainable.values())
        with tf.name_scope("input"):
            x = self.preprocess(batch["inputs"])
        y, weights, own = batch.get("targets", x), batch.get("weights"), None
        if self.augmentation is not None:
            with tf.name_scope("input"):
                key = tf.stack([tf.cast(seed, tf.int64), tf.cast(step, tf.int64)])
                mixed = self.augmentation(x, key, self._positions(replica, microbatch))
                x, own = mixed.x, mixed.share
        if length is not None:  # what is cut off would change nothing but the time it takes
            x = x[:, :length]
        with (
            training_step(
                seed=seed,
                step=step,
                replica=replica,
                microbatch=microbatch,
                microbatches=self.accumulate,
                labels=y,
                global_batch=self.feed.batch,
                scale=self.factor(step),
            ) as context,
            tf.GradientTape(watch_accessed_variables=False) as tape,
        ):
            tape.watch(variables)
            with tf.name_scope("forward"):
                outputs = self.model(x, training=True)
                loss = self.task.loss(outputs, y)
                if own is not None:  # the share of its own in each; the rest is its neighbour's
                    loss = own * loss + (1.0 - own) * self.task.loss(outputs, neighbours(y))
                weighted = loss if weights is None else loss * weights
                objective = tf.reduce_sum(weighted) / self.feed.batch
                if self.penalty is not None:
                    # Summed over replicas and microbatches, it counts once.
                    share = self.penalty() / (self.feed.replicas * self.accumulate)
                    objective += share
        gradients = tape.gradient(objective, variables)
        dense = [
            tf.zeros_like(v) if g is None else tf.convert_to_tensor(g)
            for g, v in zip(gradients, variables, strict=True)
        ]
        with tf.name_scope("forward"):
            measured = self.task.measure(outputs, y, loss)
            sums = sums_of(self.metrics, measured, weights, tf.float32)
        others = [context.published.get(name, tf.zeros([])) for name in self.published]
        if self.penalty is not None:
            others.append(share * self.feed.batch)  # as a sum over examples, like the others
        weight = [tf.reduce_sum(weights)[None]] if weights is not None else []
        return dense, tf.concat([*weight, sums, *(other[None] for other in others)], 0)
