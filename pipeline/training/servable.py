"""The model as others call it: stored inputs in, predictions out, any number of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from layers import Layer
from pipeline.training.task import Task


def servable(
    model: Layer,
    preprocess: Callable[[tf.Tensor], tf.Tensor],
    task: Task,
    element: tf.TensorSpec,
) -> tf.Module:
    """A module to export: ``[batch, …]`` in the dataset's stored dtype to ``task.predict``.

    Preprocessing is part of it, so whoever serves it sends what the dataset holds.
    """

    class Servable(tf.Module):
        def __init__(self) -> None:
            super().__init__(name="servable")
            self.model = model

        # MLflow finds the signature here, and wants the first argument to be called self.
        @tf.function(
            input_signature=[tf.TensorSpec(element.shape, element.dtype, "inputs")],
            autograph=False,
        )
        def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
            return task.predict(self.model(preprocess(inputs), training=False))

    return Servable()


def answers(module: tf.Module, inputs: np.ndarray, batch: int) -> np.ndarray:
    """What ``module`` says to all of ``inputs``, ``batch`` at once: ``[n, classes]``."""
    starts = range(0, len(inputs), batch)
    return np.concatenate([module(inputs[at : at + batch]).numpy() for at in starts])  # type: ignore[operator]
