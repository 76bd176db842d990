"""A loop written by hand for nothing but speed: no tracking, no evaluation, no strategy.

Resident data as it is stored, gathered in the graph by one permutation an epoch, plain variables,
Adam written out, and any number of epochs in one call.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
from workloads import (
    BETA_1,
    BETA_2,
    CLASSES,
    EPSILON,
    LEARNING_RATE,
    Workload,
    read,
)

from contenders.base import Contender


class Limit(Contender):
    """One unit is an epoch. ``compiled``: the whole call by XLA."""

    def __init__(self, workload: Workload, replicas: int, folder: Path, compiled: bool) -> None:
        super().__init__(workload, replicas, folder)
        if replicas != 1:
            raise ValueError("written for one replica")
        self.examples = read(workload, folder)[0]
        self.steps_per_epoch = len(self.examples.labels) // workload.batch
        self.weights = [tf.Variable(_initial(shape)) for shape in _shapes(workload)]
        self.parameters = sum(weight.shape.num_elements() for weight in self.weights)
        self.first = [tf.Variable(tf.zeros(w.shape)) for w in self.weights]
        self.second = [tf.Variable(tf.zeros(w.shape)) for w in self.weights]
        self.updates = tf.Variable(0, dtype=tf.int64)
        self.loop = tf.function(
            self._loop,
            jit_compile=compiled or None,
            autograph=False,
            input_signature=[tf.TensorSpec([], tf.int32)],
        )

    def train(self, units: int) -> int:
        self.loss = float(self.loop(tf.constant(units)))
        return units * self.steps_per_epoch

    def _loop(self, epochs: tf.Tensor) -> tf.Tensor:
        """Train so many epochs; the mean loss of the last step."""
        examples, batch = self.examples, self.workload.batch
        inputs, labels = tf.constant(examples.inputs), tf.constant(examples.labels)

        def epoch(done: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            seed = tf.stack([tf.constant(0, tf.int64), self.updates.read_value()])
            bits = tf.random.stateless_uniform(
                [len(examples.labels)], seed, None, None, tf.int32, alg="philox"
            )
            order = tf.argsort(bits)  # a permutation; XLA has no kernel for stateless_shuffle

            def step(position: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
                rows = tf.slice(order, [position * batch], [batch])
                x = tf.cast(tf.gather(inputs, rows), tf.float32) * self.workload.scale
                return position + 1, self._step(x, tf.gather(labels, rows))

            loss = tf.while_loop(
                lambda position, _: position < self.steps_per_epoch,
                step,
                (tf.constant(0), tf.constant(0.0)),
                parallel_iterations=1,
            )[1]
            return done + 1, loss

        return tf.while_loop(
            lambda done, _: done < epochs,
            epoch,
            (tf.constant(0), tf.constant(0.0)),
            parallel_iterations=1,
        )[1]

    def _step(self, x: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            logits = _forward(self.workload, self.weights, x)
            loss = tf.reduce_mean(
                tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
            )
        gradients = tape.gradient(loss, self.weights)
        count = tf.cast(self.updates.assign_add(1), tf.float32)
        rate = LEARNING_RATE * tf.sqrt(1.0 - BETA_2**count) / (1.0 - BETA_1**count)
        for weight, first, second, gradient in zip(
            self.weights, self.first, self.second, gradients, strict=True
        ):
            m = first.assign(BETA_1 * first + (1.0 - BETA_1) * gradient)
            v = second.assign(BETA_2 * second + (1.0 - BETA_2) * tf.square(gradient))
            weight.assign_sub(rate * m / (tf.sqrt(v) + EPSILON))
        return loss


def _shapes(workload: Workload) -> list[tuple[int, ...]]:
    """Of the weights, in the order in which ``_forward`` takes them."""
    shapes: list[tuple[int, ...]] = []
    width = workload.shape[-1]
    for filters in workload.filters:
        shapes += [(3, 3, width, filters), (filters,)]
        width = filters
    if workload.filters:
        sides = [math.ceil(size / 2 ** len(workload.filters)) for size in workload.shape[:-1]]
        width *= math.prod(sides)
    if workload.units:
        gates = 3 * workload.units
        shapes += [(width, gates), (workload.units, gates), (2, gates)]
        width = workload.units
    for units in (*workload.hidden, CLASSES):
        shapes += [(width, units), (units,)]
        width = units
    return shapes


def _initial(shape: Sequence[int]) -> tf.Tensor:
    """Glorot and Bengio 2010 for kernels, zero for biases."""
    if len(shape) == 1 or shape[0] == 2:
        return tf.zeros(shape)
    window = math.prod(shape[:-2])
    limit = math.sqrt(6.0 / (window * (shape[-2] + shape[-1])))
    return tf.random.stateless_uniform(shape, [len(shape), sum(shape)], -limit, limit)


def _forward(workload: Workload, weights: Sequence[tf.Variable], x: tf.Tensor) -> tf.Tensor:
    """Logits of ``x [batch, *shape]``."""
    take: Any = iter(weights)
    for _ in workload.filters:
        x = tf.nn.relu(tf.nn.conv2d(x, next(take), 2, "SAME") + next(take))
    if workload.filters:
        x = tf.reshape(x, [workload.batch, -1])
    if workload.units:
        x = _recurrent(x, next(take), next(take), next(take), workload.units)
    for _ in workload.hidden:
        x = tf.nn.relu(x @ next(take) + next(take))
    return x @ next(take) + next(take)


def _recurrent(x: tf.Tensor, w: Any, u: Any, b: Any, units: int) -> tf.Tensor:
    """The last state of a GRU (Cho et al. 2014), its reset gate after the product as in cuDNN's;
    unrolled, with one product for the inputs of all steps."""
    bias = tf.unstack(b)
    steps = tf.unstack(tf.tensordot(tf.transpose(x, [1, 0, 2]), w, 1) + bias[0])
    h = tf.zeros([x.shape[0], units])
    for step in steps:
        inner = h @ u + bias[1]
        gates = tf.sigmoid(step[:, : 2 * units] + inner[:, : 2 * units])
        z, r = gates[:, :units], gates[:, units:]
        new = tf.tanh(step[:, 2 * units :] + r * inner[:, 2 * units :])
        h = z * h + (1.0 - z) * new
    return h
