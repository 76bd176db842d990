"""What a layer declares about itself to be tested, and the ways to run it that the checks share."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import tensorflow as tf

from layers.core.base import Layer
from layers.core.context import training_step
from layers.core.model import build
from layers.core.roles import outer_variables

SEED = 7
CLASSES = 3


@dataclass(frozen=True)
class Case:
    """A layer, how it is constructed, and what is expected of it.

    Args:
        layer: the class.
        arguments: of its constructor, as a config would have them: a layer inside is a mapping
            with a ``_target_``.
        inputs: spec of its input; the first dimension is the batch. ``more``: specs, or nests of
            them, of further inputs.
        variables: how many variables it has, state included.
        state: whether training changes variables that are not trainable.
        fixed: whether it has such variables that training leaves alone.
        stops: whether it lets no gradient, or only a part of it, through to its inputs.
        random: whether it draws random numbers in training.
        integers_below: bound of the examples, where the input's dtype is an integer.
        labels: whether training needs the step's labels; they are integers below ``CLASSES``.
    """

    layer: type[Layer]
    arguments: Mapping[str, Any]
    inputs: tf.TensorSpec
    variables: int
    state: bool = False
    random: bool = False
    integers_below: int = 256
    labels: bool = False
    more: tuple[Any, ...] = ()
    fixed: bool = False
    stops: bool = False
    label: str = field(default="")

    def __str__(self) -> str:
        given = ",".join(f"{key}={_short(value)}" for key, value in self.arguments.items())
        return self.label or f"{self.layer.__name__}({given})"

    def make(self) -> Layer:
        """A new layer, not built."""
        return self.layer(**{key: _instance(value) for key, value in self.arguments.items()})

    def built(self, seed: int = 0) -> Layer:
        """A new layer, built for ``inputs``."""
        layer = self.make()
        build(layer, *self.specs, seed=seed)
        return layer

    @property
    def specs(self) -> tuple[Any, ...]:
        """Of all inputs."""
        return (self.inputs, *self.more)

    def examples(self, batch: int, seed: int = 0) -> tuple[Any, ...]:
        """A batch of all inputs, the same for the same ``seed``."""
        random = np.random.default_rng(seed)

        def draw(spec: tf.TensorSpec) -> tf.Tensor:
            shape, dtype = [batch, *spec.shape.as_list()[1:]], spec.dtype.as_numpy_dtype
            if spec.dtype == tf.bool:
                return tf.constant(random.random(shape) < 0.7)
            if spec.dtype.is_integer:
                return tf.constant(random.integers(self.integers_below, size=shape).astype(dtype))
            return tf.constant(random.normal(size=shape).astype(dtype))

        return tf.nest.map_structure(draw, self.specs)


def _short(value: Any) -> str:
    if not isinstance(value, Mapping):
        return str(value).replace(" ", "")
    return str(value["_target_"]).rpartition(".")[2] if "_target_" in value else "{…}"


def _instance(value: Any) -> Any:
    """``value`` with each mapping that has a ``_target_`` replaced by what it constructs."""
    if isinstance(value, Mapping):
        parts = {key: _instance(item) for key, item in value.items() if key != "_target_"}
        if "_target_" not in value:
            return parts
        module, _, name = value["_target_"].rpartition(".")
        return getattr(importlib.import_module(module), name)(**parts)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_instance(item) for item in value]
    return value


def logical_devices(count: int) -> None:
    """Split the CPU into ``count`` logical devices; only before TensorFlow is first used."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    split = [tf.config.LogicalDeviceConfiguration()] * count
    tf.config.set_logical_device_configuration(cpu, split)


@cache
def mirrored(replicas: int) -> tf.distribute.Strategy:
    """A MirroredStrategy over logical CPU devices."""
    found = len(tf.config.list_logical_devices("CPU"))
    if found < replicas:
        raise RuntimeError(
            f"the suites need {replicas} logical CPU devices, there are {found}: call "
            f"layers.testing.logical_devices({replicas}) before TensorFlow is first used"
        )
    # TensorFlow's own collectives clash where a process has strategies of different sizes.
    return tf.distribute.MirroredStrategy(
        [f"CPU:{i}" for i in range(replicas)],
        cross_device_ops=tf.distribute.ReductionToOneDevice(),
    )


@contextmanager
def step(
    xs: Any, number: int | tf.Tensor = 0, replica: int | tf.Tensor = 0, first: int | tf.Tensor = 0
) -> Iterator[None]:
    """Training step ``number``, given ``xs``, the rows of the global batch from ``first`` on."""
    labels = (first + tf.range(tf.shape(tf.nest.flatten(xs)[0])[0])) % CLASSES
    with training_step(seed=SEED, step=number, replica=replica, labels=labels, global_batch=4):
        yield


def values(layer: Layer) -> dict[str, np.ndarray]:
    """Every variable's value by its path."""
    return {path: v.numpy() for path, v in layer.named_variables().items()}


def assign(layer: Layer, given: Mapping[str, np.ndarray]) -> None:
    """The reverse of ``values``."""
    for path, variable in layer.named_variables().items():
        variable.assign(given[path])


def objective(y: Any) -> tf.Tensor:
    """A loss ``[batch]``, float32 at least, to which every value of the output matters."""
    total = 0.0
    for part in tf.nest.flatten(y):
        flat = tf.reshape(part, [tf.shape(part)[0], int(np.prod(part.shape[1:]))])
        flat = flat if flat.dtype == tf.float64 else tf.cast(flat, tf.float32)
        # Different weights, so that layers whose outputs have a fixed mean and variance train too.
        weights = tf.cos(tf.range(flat.shape[1], dtype=flat.dtype))
        total += tf.reduce_sum(weights * (flat + flat**2), -1) / flat.shape[1]
    return total


def gradients_of(layer: Layer, xs: tuple[Any, ...]) -> tuple[Any, dict[str, tf.Tensor]]:
    """Output and gradients, by path, of a forward and backward pass in training."""
    weights = outer_variables(layer)
    with step(xs), tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(list(weights.values()))
        y = layer(*xs, training=True)
        loss = tf.reduce_sum(objective(y))
    return y, dict(zip(weights, tape.gradient(loss, list(weights.values())), strict=True))


def assert_close(given: Any, expected: Any, tolerance: float, what: str) -> None:
    """Nests of numbers that are equal up to ``tolerance``, relative and absolute; 0: exactly."""
    tf.nest.assert_same_structure(given, expected)
    pairs = zip(tf.nest.flatten(given), tf.nest.flatten(expected), strict=True)
    for left, right in pairs:
        left, right = (np.asarray(tf.convert_to_tensor(side)) for side in (left, right))
        assert left.dtype == right.dtype, f"{what}: dtype {left.dtype}, not {right.dtype}"
        if tolerance == 0:
            np.testing.assert_array_equal(left, right, err_msg=what)
        else:
            left, right = left.astype(np.float64), right.astype(np.float64)
            np.testing.assert_allclose(left, right, rtol=tolerance, atol=tolerance, err_msg=what)
