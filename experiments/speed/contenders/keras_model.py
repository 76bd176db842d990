"""The models of the workloads in Keras, for the peers that train Keras models."""

from __future__ import annotations

import keras
import tensorflow as tf
from workloads import CLASSES, EVALUATION_BATCH, LEARNING_RATE, Examples, Workload


def make_model(workload: Workload) -> keras.Model:
    """From examples of ``workload.shape`` to logits."""
    layers: list[keras.Layer] = [keras.Input(workload.shape)]
    for filters in workload.filters:
        layers.append(keras.layers.Conv2D(filters, 3, strides=2, padding="same", activation="relu"))
    if workload.filters:
        layers.append(keras.layers.Flatten())
    if workload.units:
        layers.append(keras.layers.GRU(workload.units))
    layers += [keras.layers.Dense(units, activation="relu") for units in workload.hidden]
    return keras.Sequential([*layers, keras.layers.Dense(CLASSES)])


def make_optimizer() -> keras.optimizers.Optimizer:
    """Adam as all contenders have it."""
    return keras.optimizers.Adam(LEARNING_RATE)


def make_loss(**options: str | None) -> keras.losses.Loss:
    """Cross-entropy of logits."""
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True, **options)


def parameters(model: keras.Model) -> int:
    """How many are trained."""
    return sum(int(tf.size(weight)) for weight in model.trainable_weights)


def tuned_training(examples: Examples, batch: int) -> tf.data.Dataset:
    """Endless batches, shuffled every epoch, from memory and ahead of time."""
    dataset = tf.data.Dataset.from_tensor_slices((examples.inputs, examples.labels)).cache()
    dataset = dataset.shuffle(len(examples.labels), reshuffle_each_iteration=True).repeat()
    return _without_autotuner(dataset.batch(batch, drop_remainder=True).prefetch(8))


def tuned_validation(examples: Examples) -> tf.data.Dataset:
    """Every example once, from memory."""
    dataset = tf.data.Dataset.from_tensor_slices((examples.inputs, examples.labels))
    return _without_autotuner(dataset.batch(EVALUATION_BATCH).cache().prefetch(2))


def _without_autotuner(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Deleting an iterator otherwise waits until tf.data's autotuner wakes, a second or more."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)
