"""Optimizers as ``tf.Module``s that are right under replicas.

They are given gradients that are already summed over the replicas and clipped, and assign in
replica context, so every replica makes the same update. (Keras's own clip each replica's part
before the sum and mistake repeated rows of sparse gradients.)
"""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

Gradients = Mapping[str, tf.Tensor]


class Optimizer(tf.Module):
    """Base: slots by variable path, a count of updates, decoupled weight decay.

    Args:
        learning_rate: its peak; a schedule scales it, step by step.
        weight_decay: ``w -= learning_rate * weight_decay * w`` (Loshchilov and Hutter 2019), for
            kernels and embeddings only; see ``decays``.
    """

    SLOTS: tuple[str, ...] = ()
    slots: dict[str, dict[str, tf.Variable]]  # made by build alone: a dict that is replaced is
    # lost to a checkpoint that was read before

    def __init__(self, learning_rate: float, weight_decay: float, name: str) -> None:
        super().__init__(name=name)
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay

    def build(self, variables: Mapping[str, tf.Variable]) -> None:
        """Make the slots, zero. Inside ``strategy.scope()``, before anything is traced."""
        self.variables_by_path = dict(variables)
        self.updates = tf.Variable(
            tf.constant(0, tf.int64),
            trainable=False,
            synchronization=tf.VariableSynchronization.ON_READ,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
            name="updates",
        )
        self.slots = {
            slot: {
                path: tf.Variable(tf.zeros(v.shape, wide_dtype(v)), trainable=False, name=slot)
                for path, v in variables.items()
            }
            for slot in self.SLOTS
        }

    def apply(
        self,
        gradients: Gradients,
        scale: tf.Tensor | float = 1.0,
        learning_rate: tf.Tensor | None = None,
    ) -> None:
        """One update, in replica context, with the learning rate times ``scale``.

        Args:
            gradients: by path, dense, summed over the replicas.
            learning_rate: as a tensor, in a graph that is not to have it as a constant.
        """
        peak = self.learning_rate if learning_rate is None else learning_rate
        count = self.updates.assign_add(1)
        for path, gradient in gradients.items():
            variable = self.variables_by_path[path]
            dtype = wide_dtype(variable)
            rate = tf.cast(peak * scale, dtype)
            done = tf.cast(count, dtype)
            decay = self.weight_decay if decays(path, variable) else 0.0
            if variable.dtype == dtype:
                if decay:
                    variable.assign_sub(rate * decay * variable)
                self.update(path, gradient, rate, done)
            else:  # narrower: the whole step is rounded once
                step = self.step(path, tf.cast(gradient, dtype), rate, done)
                if decay:
                    step += rate * decay * tf.cast(variable, dtype)
                variable.assign_sub(tf.cast(step, variable.dtype))

    def update(self, path: str, gradient: tf.Tensor, rate: tf.Tensor, count: tf.Tensor) -> None:
        """Subtract ``step`` from the variable at ``path``, by a kernel where TensorFlow has one."""
        self.variables_by_path[path].assign_sub(self.step(path, gradient, rate, count))

    def step(self, path: str, gradient: tf.Tensor, rate: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
        """What to subtract from the variable at ``path``. ``count``: 1 in the first update."""
        raise TypeError(f"{type(self).__name__} must define step(path, gradient, rate, count)")


def wide_dtype(variable: tf.Variable) -> tf.DType:
    """The dtype that updates are computed and remembered in: never narrower than float32."""
    return tf.float64 if variable.dtype == tf.float64 else tf.float32


def decays(path: str, variable: tf.Variable) -> bool:
    """Whether weight decay applies: not to biases, scales and offsets of norms, slopes of PReLU."""
    exempt = ("b", "scale", "offset", "alpha")
    return variable.shape.rank >= 2 and path.rpartition("/")[2] not in exempt


class SGD(Optimizer):
    """Gradient descent; with ``momentum`` as Sutskever et al. 2013, ``nesterov`` too."""

    def __init__(
        self,
        learning_rate: float = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        name: str = "sgd",
    ) -> None:
        super().__init__(learning_rate, weight_decay, name)
        self.momentum = momentum
        self.nesterov = nesterov
        self.SLOTS = ("velocity",) if momentum else ()

    def step(self, path: str, gradient: tf.Tensor, rate: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
        if not self.momentum:
            return rate * gradient
        slot = self.slots["velocity"][path]
        velocity = slot.assign(self.momentum * slot + rate * gradient)
        return self.momentum * velocity + rate * gradient if self.nesterov else velocity


class RMSProp(Optimizer):
    """Hinton 2012: the gradient over the root of a moving average of its square."""

    SLOTS = ("square",)

    def __init__(
        self,
        learning_rate: float = 0.001,
        decay: float = 0.9,
        epsilon: float = 1e-7,
        weight_decay: float = 0.0,
        name: str = "rmsprop",
    ) -> None:
        super().__init__(learning_rate, weight_decay, name)
        self.decay = decay
        self.epsilon = epsilon

    def step(self, path: str, gradient: tf.Tensor, rate: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
        slot = self.slots["square"][path]
        square = slot.assign(self.decay * slot + (1 - self.decay) * tf.square(gradient))
        return rate * gradient * tf.math.rsqrt(square + self.epsilon)


class Adam(Optimizer):
    """Kingma and Ba 2015, with the bias correction folded into the rate as in its section 2."""

    SLOTS = ("first", "second")

    def __init__(
        self,
        learning_rate: float = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        weight_decay: float = 0.0,
        name: str = "adam",
    ) -> None:
        super().__init__(learning_rate, weight_decay, name)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def step(self, path: str, gradient: tf.Tensor, rate: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
        first_slot, second_slot = self.slots["first"][path], self.slots["second"][path]
        first = first_slot.assign(self.beta_1 * first_slot + (1 - self.beta_1) * gradient)
        second = second_slot.assign(
            self.beta_2 * second_slot + (1 - self.beta_2) * tf.square(gradient)
        )
        correction = tf.sqrt(1 - tf.pow(self.beta_2, count)) / (1 - tf.pow(self.beta_1, count))
        return rate * correction * first / (tf.sqrt(second) + self.epsilon)

    def update(self, path: str, gradient: tf.Tensor, rate: tf.Tensor, count: tf.Tensor) -> None:
        # One pass over memory by all cores, where ``step`` takes ten. XLA makes the same of both.
        tf.raw_ops.ResourceApplyAdam(
            var=self.variables_by_path[path].handle,
            m=self.slots["first"][path].handle,
            v=self.slots["second"][path].handle,
            beta1_power=tf.pow(tf.cast(self.beta_1, count.dtype), count),
            beta2_power=tf.pow(tf.cast(self.beta_2, count.dtype), count),
            lr=rate,
            beta1=tf.cast(self.beta_1, count.dtype),
            beta2=tf.cast(self.beta_2, count.dtype),
            epsilon=tf.cast(self.epsilon, count.dtype),
            grad=gradient,
        )


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019), on by default."""

    def __init__(
        self,
        learning_rate: float = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        weight_decay: float = 0.004,
        name: str = "adamw",
    ) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, weight_decay, name)
