"""What the exported model takes: raw inputs as the dataset stores them, and some to show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.data.examples import in_batches
from pipeline.data.frame import Windows
from pipeline.data.prepared import Prepared
from pipeline.data.preprocess import Preprocessing

EXAMPLES = 8
CHARACTERS = 256  # of a text that is shown, where a split is one long text


@dataclass(frozen=True)
class Served:
    """Raw inputs, and what makes the model's own of them.

    Attributes:
        preprocess: from ``spec`` to what the model takes.
        spec: of a batch, by name where there are several inputs.
        example: a few inputs of the test split.
        each: whether one answer belongs to each example of a split.
    """

    preprocess: Any
    spec: Any
    example: Any
    each: bool


def served(prepared: Prepared) -> Served:
    """As the dataset of ``prepared`` stores it: of a series, a window."""
    if not isinstance(prepared.frame, Windows):
        inputs = prepared.stored_inputs("test", EXAMPLES)
        example = tf.nest.map_structure(lambda part: part.numpy(), next(in_batches(inputs)))
        each = prepared.frame is None and not prepared.is_streamed("test")
        return Served(prepared.preprocessing, prepared.stored, example, each)
    inputs = prepared.source.split("test").inputs
    assert isinstance(inputs, np.ndarray)
    if inputs.dtype == object:  # text
        example = np.array([_beginning(text) for text in inputs[:1]], object)
        return Served(prepared.preprocessing, prepared.stored, example, each=False)
    length, shape = prepared.frame.length, inputs.shape[1:]
    windows, _ = prepared.frame(inputs)
    spec = tf.TensorSpec([None, length, *shape], inputs.dtype)
    return Served(
        _OfWindows(prepared.preprocessing, length), spec, np.array(windows[:EXAMPLES]), each=False
    )


def _beginning(text: bytes) -> bytes:
    return text.decode()[:CHARACTERS].encode()


class _OfWindows(tf.Module):
    """Preprocesses the steps of each window: ``[b, length, ...] -> [b, length, ...]``."""

    def __init__(self, preprocessing: Preprocessing, length: int) -> None:
        super().__init__()
        self.preprocessing = preprocessing
        self.length = length

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        steps = self.preprocessing.host(tf.reshape(x, [-1, *x.shape[2:]]))
        windows = tf.reshape(steps, [-1, self.length, *steps.shape[1:]])
        return self.preprocessing.device(windows)
