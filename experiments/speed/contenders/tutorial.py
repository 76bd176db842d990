"""The loop of TensorFlow's tutorial "Custom training with tf.distribute.Strategy"."""

from __future__ import annotations

from pathlib import Path

import keras
import tensorflow as tf
from workloads import EVALUATION_BATCH, Workload, read

from contenders import keras_model
from contenders.base import Contender, mirrored


class Tutorial(Contender):
    """``strategy.run`` in a ``tf.function`` for each step, over a distributed dataset.

    One unit is an epoch with validation after it.
    """

    def __init__(self, workload: Workload, replicas: int, folder: Path) -> None:
        super().__init__(workload, replicas, folder)
        train, validation = (split.scaled(workload) for split in read(workload, folder))
        strategy = mirrored(replicas)
        dataset = tf.data.Dataset.from_tensor_slices((train.inputs, train.labels))
        dataset = dataset.shuffle(len(train.labels)).batch(workload.batch)
        self.training = strategy.experimental_distribute_dataset(dataset)
        dataset = tf.data.Dataset.from_tensor_slices((validation.inputs, validation.labels))
        self.validation = strategy.experimental_distribute_dataset(dataset.batch(EVALUATION_BATCH))

        with strategy.scope():
            model = keras_model.make_model(workload)
            optimizer = keras_model.make_optimizer()
            optimizer.build(model.trainable_variables)
            loss_object = keras_model.make_loss(reduction=None)
            self.accuracy = keras.metrics.SparseCategoricalAccuracy()
            self.validation_loss = keras.metrics.Mean()
            self.validation_accuracy = keras.metrics.SparseCategoricalAccuracy()
        self.parameters = keras_model.parameters(model)

        def train_step(inputs: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
            with tf.GradientTape() as tape:
                logits = model(inputs, training=True)
                loss = tf.nn.compute_average_loss(
                    loss_object(labels, logits), global_batch_size=workload.batch
                )
            gradients = tape.gradient(loss, model.trainable_variables)
            optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
            self.accuracy.update_state(labels, logits)
            return loss

        def validation_step(inputs: tf.Tensor, labels: tf.Tensor) -> None:
            logits = model(inputs, training=False)
            self.validation_loss.update_state(loss_object(labels, logits))
            self.validation_accuracy.update_state(labels, logits)

        @tf.function
        def distributed_train_step(inputs: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
            losses = strategy.run(train_step, args=(inputs, labels))
            return strategy.reduce(tf.distribute.ReduceOp.SUM, losses, axis=None)

        @tf.function
        def distributed_validation_step(inputs: tf.Tensor, labels: tf.Tensor) -> None:
            strategy.run(validation_step, args=(inputs, labels))

        self.train_step = distributed_train_step
        self.validation_step = distributed_validation_step

    def train(self, units: int) -> int:
        steps = 0
        for _ in range(units):
            total = 0.0
            for inputs, labels in self.training:
                total += self.train_step(inputs, labels)
                steps += 1
            for inputs, labels in self.validation:
                self.validation_step(inputs, labels)
            self.loss = float(self.validation_loss.result())
            for metric in (self.accuracy, self.validation_loss, self.validation_accuracy):
                metric.reset_state()
        return steps
