"""The state of a run at the best evaluation, kept in graph while training goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from pipeline.training.snapshot import saves_values

MOST_BYTES = 64 << 20  # of a state that is kept: short epochs are those of small models


class KeptState:
    """A second place for the value of every variable of ``objects``, beside it on its device."""

    def __init__(self, objects: Mapping[str, Any]) -> None:
        self._places: dict[int, tuple[tf.Variable, tf.Variable]] = {}
        for item in _reached(objects):
            if isinstance(item, tf.Variable):
                with tf.device(item.device):
                    place = tf.Variable(item.read_value(), trainable=False)
                self._places[id(item)] = (item, place)

    def keep(self) -> None:
        """Let the places have the values that the variables have now; in cross-replica context."""
        for variable, place in self._places.values():
            place.assign(variable.read_value())

    def of(self, variable: tf.Variable) -> tf.Variable:
        """Where the value of ``variable`` is kept."""
        return self._places[id(variable)][1]


def can_be_kept(objects: Mapping[str, Any]) -> bool:
    """Whether all of the state is in variables, and they are small enough to have twice."""
    items = _reached(objects)
    sizes = [v.shape.num_elements() * v.dtype.size for v in items if isinstance(v, tf.Variable)]
    return sum(sizes) <= MOST_BYTES and not any(
        saves_values(item) for item in items if not isinstance(item, tf.Variable)
    )


def _reached(objects: Mapping[str, Any]) -> list[Any]:
    """Everything that a checkpoint of ``objects`` goes through."""
    root = tf.train.Checkpoint(**objects)  # held here, since a view does not
    return [item for item in tf.train.TrackableView(root).descendants() if item is not root]
