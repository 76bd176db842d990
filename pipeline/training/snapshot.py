"""A copy of a tree of variables, which a thread can save while training goes on with the originals.

TensorFlow's checkpoints name a value by the attributes that lead to it. A tree of bare nodes with
the same attributes and with copies of the variables is therefore saved as the same checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import tensorflow as tf

if TYPE_CHECKING:
    from pipeline.training.kept import KeptState

_Node = tf.__internal__.tracking.AutoTrackable


class NotVariables(TypeError):
    """Something keeps values of its own that are no variables, a table say."""


class Snapshot:
    """The values that all variables of ``objects`` have now, in the host's memory.

    Taking it is cheap: TensorFlow shares the memory of a value until one side assigns another.
    ``take`` takes it anew, which is cheaper than to make another.

    Args:
        objects: by name, each a ``tf.Module`` or variable, all built.

    Raises:
        NotVariables: not everything that a checkpoint of them holds is a variable.
    """

    def __init__(self, objects: Mapping[str, Any]) -> None:
        self._pairs: list[tuple[tf.Variable, tf.Variable]] = []
        self._copies: dict[int, Any] = {}  # id of an original -> its copy
        self.checkpoint = tf.train.Checkpoint(
            **{name: self._copy(item) for name, item in objects.items()}
        )
        # One call for all of them.
        self._assign = tf.function(self._assign_all, autograph=False)

    def take(self, kept: KeptState | None = None) -> None:
        """Let the copies have the values that the variables have now, or have in ``kept``."""
        self._assign(kept)

    def _assign_all(self, kept: KeptState | None) -> None:
        for original, copy in self._pairs:
            copy.assign((kept.of(original) if kept else original).read_value())

    def _copy(self, original: Any) -> Any:
        if id(original) in self._copies:  # shared, or on the way round a circle
            return self._copies[id(original)]
        if isinstance(original, tf.Variable):
            with tf.device("CPU:0"):
                copy = tf.Variable(original.read_value(), trainable=False)
            self._pairs.append((original, copy))
        elif saves_values(original):
            raise NotVariables(type(original).__name__)
        else:
            copy = _Node()
        self._copies[id(original)] = copy
        for name, child in tf.train.TrackableView.children(original).items():
            setattr(copy, name, self._copy(child))
        return copy


def saves_values(item: Any) -> bool:
    """Whether TensorFlow asks ``item`` itself for values to save, besides what it refers to."""
    asked = ("_serialize_to_tensors", "_gather_saveables_for_checkpoint")
    return any(getattr(type(item), name) is not getattr(_Node, name) for name in asked)
