"""Orbit's StandardTrainer and StandardEvaluator, 100 steps a loop, under MirroredStrategy.

Driven without its Controller, which would add logs and checkpoints; one iterator each for as long
as it trains.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import orbit
import tensorflow as tf
from workloads import EVALUATION_BATCH, Workload, read

from contenders import keras_model
from contenders.base import Contender, mirrored

LOOP = 100


class Trainer(orbit.StandardTrainer):
    """A step of training, with the mean loss and accuracy over a loop."""

    def __init__(
        self, strategy: tf.distribute.Strategy, model: keras.Model, data: Any, batch: int
    ) -> None:
        self.strategy, self.model, self.batch = strategy, model, batch
        with strategy.scope():
            self.optimizer = keras_model.make_optimizer()
            self.optimizer.build(model.trainable_variables)
            self.mean_loss = keras.metrics.Mean()
            self.accuracy = keras.metrics.SparseCategoricalAccuracy()
            self.loss = keras_model.make_loss(reduction=None)
        super().__init__(strategy.experimental_distribute_dataset(data))

    def train_loop_begin(self) -> None:
        self.mean_loss.reset_state()
        self.accuracy.reset_state()

    def train_step(self, iterator: Any) -> None:
        def step(inputs: tf.Tensor, labels: tf.Tensor) -> None:
            with tf.GradientTape() as tape:
                logits = self.model(inputs, training=True)
                losses = self.loss(labels, logits)
                loss = tf.reduce_sum(losses) / self.batch
            variables = self.model.trainable_variables
            self.optimizer.apply(tape.gradient(loss, variables), variables)
            self.mean_loss.update_state(losses)
            self.accuracy.update_state(labels, logits)

        self.strategy.run(step, args=next(iterator))

    def train_loop_end(self) -> dict[str, tf.Tensor]:
        return {"loss": self.mean_loss.result(), "accuracy": self.accuracy.result()}


class Evaluator(orbit.StandardEvaluator):
    """Loss and accuracy over the validation split."""

    def __init__(self, strategy: tf.distribute.Strategy, model: keras.Model, data: Any) -> None:
        self.strategy, self.model = strategy, model
        with strategy.scope():
            self.mean_loss = keras.metrics.Mean()
            self.accuracy = keras.metrics.SparseCategoricalAccuracy()
            self.loss = keras_model.make_loss(reduction=None)
        # Making an iterator for each evaluation would take longer than a loop of training.
        options = orbit.StandardEvaluatorOptions(recreate_iterator_for_each_eval=False)
        super().__init__(strategy.experimental_distribute_dataset(data.repeat()), options)

    def eval_begin(self) -> None:
        self.mean_loss.reset_state()
        self.accuracy.reset_state()

    def eval_step(self, iterator: Any) -> None:
        def step(inputs: tf.Tensor, labels: tf.Tensor) -> None:
            logits = self.model(inputs, training=False)
            self.mean_loss.update_state(self.loss(labels, logits))
            self.accuracy.update_state(labels, logits)

        self.strategy.run(step, args=next(iterator))

    def eval_end(self) -> dict[str, tf.Tensor]:
        return {"loss": self.mean_loss.result(), "accuracy": self.accuracy.result()}


class OrbitTrainer(Contender):
    """One unit is a loop of 100 steps, which is more than an epoch, and an evaluation."""

    def __init__(self, workload: Workload, replicas: int, folder: Path) -> None:
        super().__init__(workload, replicas, folder)
        train, validation = (split.scaled(workload) for split in read(workload, folder))
        strategy = mirrored(replicas)
        with strategy.scope():
            model = keras_model.make_model(workload)
        self.parameters = keras_model.parameters(model)
        self.trainer = Trainer(
            strategy, model, keras_model.tuned_training(train, workload.batch), workload.batch
        )
        self.evaluator = Evaluator(strategy, model, keras_model.tuned_validation(validation))
        self.evaluations = -(-len(validation.labels) // EVALUATION_BATCH)

    def train(self, units: int) -> int:
        for _ in range(units):
            self.trainer.train(tf.constant(LOOP))
            results = self.evaluator.evaluate(tf.constant(self.evaluations))
        self.loss = float(results["loss"])
        return units * LOOP
