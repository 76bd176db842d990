"""What a task is: its loss, its metrics, what it predicts, and what of a dataset it needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from layers import Layer, layers_of
from pipeline.errors import ConfigError, did_you_mean
from pipeline.training.metrics import Metric

WANTED = {
    "class": "{} classes",
    "classes": "any of {} classes",
    "numbers": "{} number(s)",
    "tokens": "the next of {} tokens",
    "inputs": "the inputs again",
}


@dataclass(frozen=True)
class DataSpec:
    """What a task may know of the data that it is given.

    Attributes:
        name: of the dataset.
        outputs: numbers that a model gives for what is predicted: classes, targets, or tokens of
            the vocabulary; None where the target is the input.
        names: of the classes, targets or columns, where they have names.
        inputs: of a batch, as the model is called with it.
        target: of a batch; None: the input is the target.
        counts: tells how many examples each class has in the training split, ``[classes]``.
        token_bytes: UTF-8 bytes of each token of the vocabulary, ``[outputs]``.
        padding: the token that fills up short sequences; None: there is none.
        decode: tokens to text.
    """

    name: str
    outputs: int | None
    names: tuple[str, ...] = ()
    inputs: Any = None
    target: tf.TensorSpec | None = None
    counts: Callable[[], np.ndarray] | None = field(default=None, repr=False)
    token_bytes: np.ndarray | None = field(default=None, repr=False)
    padding: int | None = None
    decode: Callable[[np.ndarray], list[str]] | None = field(default=None, repr=False)


class Task(tf.Module):
    """What a model is asked to do. A task of one's own is a class with this one as its base.

    Attributes:
        needs: the kind of target: ``class`` (one of several), ``classes`` (any of several),
            ``numbers``, ``tokens`` (the next ones) or ``inputs`` (nothing but them).
        metrics: name to metric; the first is ``loss``.
    """

    needs: ClassVar[str]
    metrics: Mapping[str, Metric]

    def check(self, model: Layer, output: tf.TensorSpec, data: DataSpec) -> None:
        """Raise ``ConfigError`` unless the model's output, ``[batch, ...]``, fits the data."""

    def build(self, data: DataSpec) -> None:
        """Make the variables, if it has any; inside the strategy's scope."""

    def adapt(self, targets: Callable[[], Iterable[np.ndarray]]) -> None:
        """Learn what it has to know of the training split's targets, if anything."""

    def loss(self, outputs: Any, targets: Any) -> tf.Tensor:
        """One float32 number for each example, ``[batch]``."""
        raise TypeError(f"{type(self).__name__} must define loss(self, outputs, targets)")

    def measure(self, outputs: Any, targets: Any, loss: tf.Tensor) -> dict[str, tf.Tensor]:
        """For each of ``metrics`` what is summed over examples, ``[batch]`` or
        ``[batch, width]``; ``loss`` is what ``loss`` has said."""
        raise TypeError(f"{type(self).__name__} must define measure(self, outputs, targets, loss)")

    def predict(self, outputs: Any) -> Any:
        """What the exported model answers."""
        return outputs

    def wanted(self, data: DataSpec) -> str:
        """What is predicted, in words, such as ``10 classes``."""
        return WANTED[self.needs].format(data.outputs)

    @property
    def training_metrics(self) -> dict[str, Metric]:
        """Those that are reported of the training batches too."""
        return {name: metric for name, metric in self.metrics.items() if metric.in_training}


def chosen(task: Task, names: Sequence[str], offered: Mapping[str, Metric]) -> dict[str, Metric]:
    """``loss`` and the metrics of these names, in their order.

    Raises:
        ConfigError: one is not offered.
    """
    for name in names:
        if name not in offered:
            near = did_you_mean(name, offered)
            raise ConfigError(
                f"task.metrics: {type(task).__name__} does not measure {name!r}. {near}"
            )
    return {name: offered[name] for name in dict.fromkeys(["loss", *names])}


def refuse_output(
    model: Layer,
    output: tf.TensorSpec,
    data: DataSpec,
    has: str,
    expected: list[int | None],
    advice: str = "Give the last layer units: ${dataset.outputs}.",
) -> ConfigError:
    """The error that names the layer whose output is of the wrong shape.

    Args:
        has: what the data has, such as ``10 classes``.
    """
    last = [v.path for v in layers_of(model) if v.path and v._output_spec == output]
    where = f"model.layers.{last[-1].replace('/', '.layers.')}" if last else "model"
    return ConfigError(
        f"{where}: its output has shape {output.shape.as_list()}, but dataset {data.name!r} has "
        f"{has}, so {expected} is expected. {advice}"
    )
