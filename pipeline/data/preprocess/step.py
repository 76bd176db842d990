"""What a preprocessing step is, and what every step says when its input is of the wrong kind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, TypeAlias

import tensorflow as tf

from layers.core.specs import describe
from pipeline.errors import DataError

Inputs: TypeAlias = Any  # tf.Tensor [b, ...], or a dict of them by feature
Batches: TypeAlias = Callable[[], Iterable[Inputs]]


class Step(tf.Module, ABC):
    """One step, from a batch to a batch: ``[b, ...]`` or a dict of such by feature.

    ``__call__`` is made of TensorFlow operations, example by example, without chance: it is a part
    of the exported model, which is given what is stored. Tables and variables are attributes, so
    that they are saved with it.

    Attributes:
        host: it runs once, on the CPU, when a split is read, as do all steps before it; else in the
            training step, on the device. For text, look-ups and whatever changes sizes. Examples
            that differ in size come in batches of one.
        label: what messages call it, such as ``dataset.preprocess.scale``.
    """

    host: ClassVar[bool] = False
    label: str = "Step"

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.label = cls.__name__

    def build(self, x: Any) -> None:
        """Make variables for inputs such as ``x`` (``tf.TensorSpec``, or a dict of them).

        It is called once, before ``fit``, inside ``strategy.scope()``.
        """

    def fit(self, batches: Batches) -> None:
        """Learn from the training split, as it comes to this step: a function of the data alone.

        ``batches`` may be called several times, and is not called by a step that learns nothing.
        """

    @abstractmethod
    def __call__(self, x: Inputs) -> Inputs:
        """The batch, changed."""

    def describe(self) -> dict[str, Any]:
        """What it is and what it has learnt, as JSON can hold it."""
        return {}


class Function(Step):
    """A plain function of a batch as a step of the device."""

    def __init__(self, function: Callable[[Inputs], Inputs]) -> None:
        super().__init__()
        self.function = function

    def __call__(self, x: Inputs) -> Inputs:
        return self.function(x)


def require_one(step: Step, x: Any) -> Any:
    """``x`` as a tensor, or the spec that it is; ``DataError`` if it is several features."""
    if isinstance(x, dict):
        raise DataError(
            f"{step.label}: {type(step).__name__} takes one tensor, but dataset.inputs is a list, "
            f"which gives {', '.join(map(repr, x))}. Name one feature without a list, or put "
            "Columns before it."
        )
    return x if isinstance(x, tf.TensorSpec) else tf.convert_to_tensor(x)


def require_numbers(step: Step, x: Any) -> Any:
    """``x`` as a tensor, or the spec that it is; ``DataError`` if it is no tensor of numbers."""
    x = require_one(step, x)
    if x.dtype == tf.string:
        raise DataError(
            f"{step.label}: {type(step).__name__} takes numbers, but its input is text "
            f"({describe(x)}). Put pipeline.data.preprocess.Tokens before it, or name another "
            "feature as dataset.inputs."
        )
    return x


def require_rank(step: Step, x: tf.Tensor, least: int, expected: str) -> None:
    """``DataError`` unless ``x`` has at least so many axes."""
    if x.shape.rank is not None and x.shape.rank < least:
        raise DataError(
            f"{step.label}: {type(step).__name__} takes {expected}, but its input is {describe(x)}."
        )
