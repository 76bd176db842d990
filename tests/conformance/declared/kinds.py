"""What the declarations are written in: specs, layers inside layers, and pairs with Keras."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from layers import Layer

IMAGE = tf.TensorSpec([None, 6, 5, 4])
ROWS = tf.TensorSpec([None, 5])
STATE = tf.TensorSpec([None, 3])
SERIES = tf.TensorSpec([None, 3, 4])
TOKENS = tf.TensorSpec([None, 6], tf.int32)
PIXELS = tf.TensorSpec([None, 8, 8, 3], tf.uint8)
FOUR = tf.TensorSpec([None, 4])


def target(name: str, **arguments: Any) -> dict[str, Any]:
    """A layer inside a layer, as a config has it."""
    return {"_target_": f"layers.{name}", **arguments}


@dataclass(frozen=True)
class Parity:
    """A layer and the Keras layer that it equals, given the same weights.

    Args:
        weights: paths of our weights, in the order of Keras's trainable ones.
        inputs: spec of the input.
    """

    name: str
    ours: Callable[[], Layer]
    theirs: Callable[[], keras.layers.Layer]
    inputs: tf.TensorSpec
    weights: Sequence[str] = ()

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Wrong:
    """What a layer says, word for word, when it is made, or built for ``spec``, in a wrong way.

    Where there is a ``spec``, the layer stands at the path ``at``.
    """

    make: Callable[[], Any]
    message: str
    spec: Any = None

    def __str__(self) -> str:
        return self.message
