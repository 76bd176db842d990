"""A layer that trains itself: its own loss, its own optimizer, no gradient in or out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import tensorflow as tf

from layers import losses
from layers.core.arguments import layer_in, number
from layers.core.base import Layer
from layers.core.context import StepContext, step_context
from layers.core.errors import LayerError
from layers.core.roles import outer_variables, penalty_of
from layers.core.tree import join


class LocalOptimizer(Protocol):
    """What is asked of an optimizer: a ``tf.Module``, so that its state is saved, with these."""

    def build(self, variables: Mapping[str, tf.Variable]) -> None:
        """Make the state for ``variables``, by path."""

    def apply(self, gradients: Mapping[str, tf.Tensor], scale: tf.Tensor | float) -> None:
        """One update in replica context; ``gradients`` are dense and summed over the replicas."""


class SelfTraining(Layer):
    """Computes ``layer(x)`` and, in training, improves ``layer`` and ``head`` by a loss of its own.

    ``[batch, ...] -> `` what ``layer`` gives.

    Each training call is one update from ``loss(head(layer(x)), labels)``; the output is that of
    the weights before it. No gradient leaves the layer, neither to what is below nor to what is
    above, and the model's optimizer does not see its weights (``layers.outer_variables``). In
    evaluation only ``layer`` is used and nothing changes. A stack of such layers learns greedily,
    layer by layer, all at once (Belilovsky et al. 2019; Nøkland and Eidnes 2019).

    Needs ``with layers.training_step(…, labels=…, global_batch=…)``, whose ``scale`` multiplies the
    learning rate. Gradients are summed over the replicas, which therefore wait for each other: do
    not call the layer in a ``tf.cond``, ``tf.while_loop`` or ``tf.function`` inside the replica's
    function. Microbatches are refused, as each would be an update. Publishes ``loss``, and
    ``accuracy`` where the loss is softmax cross-entropy.

    Args:
        layer: what it computes.
        optimizer: has ``build(variables)`` and ``apply(gradients, scale)``, as those of
            ``pipeline.training.optimizers``; each SelfTraining needs one of its own.
        head: brings the output to what the loss takes, and is used for nothing else; ``None``
            where ``layer`` gives logits itself, as the last block of a stack does.
        loss: name in ``layers.losses``, or ``f(logits, labels) -> [batch]``.
        clip_norm: largest global norm of this layer's gradients; ``None``: any.
    """

    trains_itself = True

    def __init__(
        self,
        layer: Layer,
        optimizer: LocalOptimizer,
        head: Layer | None = None,
        loss: str | Callable[..., Any] = "softmax cross-entropy",
        clip_norm: float | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.layer = layer_in(self, "layer", layer)
        self.head = None if head is None else layer_in(self, "head", head)
        self.loss = losses.get(loss)
        self.clip_norm = None if clip_norm is None else number(self, "clip_norm", clip_norm, 1e-12)
        if not isinstance(optimizer, tf.Module) or not all(
            callable(getattr(optimizer, name, None)) for name in ("build", "apply")
        ):
            raise LayerError(
                f"{self.label}: optimizer must be a tf.Module with build(variables) and "
                f"apply(gradients, scale), got {optimizer!r}"
            )
        self.optimizer = optimizer
        self._optimizer_built = False
        self._classifies = self.loss is losses.softmax_cross_entropy
        self.metrics = ("loss", "accuracy") if self._classifies else ("loss",)

    def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        x = tf.stop_gradient(x)
        if training:
            y = self._learn(x, self._step())
        else:
            y = self.layer(x, training=False)
            if self.head is not None and self.head._output_spec is None:
                self.head(y, training=False)  # it is built with the rest
            if not self._optimizer_built:
                with tf.init_scope():
                    self.optimizer.build(self._trained())
                self._optimizer_built = True
        return tf.stop_gradient(y)

    def _learn(self, x: tf.Tensor, context: StepContext) -> tf.Tensor:
        if not self._optimizer_built:
            self.call(x, training=False)
        weights = self._trained()
        variables = list(weights.values())
        penalty = penalty_of(self, weights)
        distribution = tf.distribute.get_replica_context()
        replicas = 1 if distribution is None else distribution.num_replicas_in_sync
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            y = self.layer(x, training=True)
            logits = y if self.head is None else self.head(y, training=True)
            loss = self.loss(logits, context.labels)
            objective = tf.reduce_sum(loss) / context.global_batch
            if penalty is not None:
                objective += penalty() / replicas  # the sum over the replicas counts it once
        gradients = [
            tf.zeros_like(v) if g is None else tf.convert_to_tensor(g)
            for g, v in zip(tape.gradient(objective, variables), variables, strict=True)
        ]
        if replicas > 1:
            gradients = distribution.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        if self.clip_norm is not None:
            norm = tf.linalg.global_norm(gradients)
            shrink = self.clip_norm / tf.maximum(norm, self.clip_norm)
            gradients = [g * tf.cast(shrink, g.dtype) for g in gradients]
        # The output is that of the weights before the update.
        self.optimizer.apply(dict(zip(weights, gradients, strict=True)), context.scale)
        self.publish("loss", loss)
        if self._classifies:
            predicted = tf.argmax(logits, -1, output_type=context.labels.dtype)
            self.publish("accuracy", tf.equal(predicted, context.labels))
        return y

    def _trained(self) -> dict[str, tf.Variable]:
        """The weights it trains, by path; not those of a layer inside that trains itself."""
        parts = {"layer": self.layer, "head": self.head}
        return {
            join(name, path): variable
            for name, part in parts.items()
            if part is not None
            for path, variable in outer_variables(part).items()
        }

    def _step(self) -> StepContext:
        context = step_context()
        if context is None or context.labels is None or not context.global_batch:
            raise LayerError(
                f"{self.label}: trains itself and must know the labels; call the model inside "
                "`with layers.training_step(seed=…, step=…, labels=…, global_batch=…):`"
            )
        if context.microbatches > 1:
            raise LayerError(
                f"{self.label}: trains itself once a call and would learn from each of the "
                f"{context.microbatches} microbatches; give the whole batch at once "
                "(trainer.accumulate=1)"
            )
        return context
