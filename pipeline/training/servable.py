"""The model as others call it: stored inputs in, predictions out, any number of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import tensorflow as tf

from layers import Layer
from pipeline.training.tasks import Task


def servable(
    model: Layer,
    preprocess: Callable[[Any], Any],
    task: Task,
    element: Any,
) -> tf.Module:
    """A module to export: ``[batch, …]`` as the dataset stores it, or several such by name, to what
    ``task.predict`` makes of the model's output.

    Preprocessing is part of it, so whoever serves it sends what the dataset holds.
    """

    class Servable(tf.Module):
        def __init__(self) -> None:
            super().__init__(name="servable")
            self.model = model
            self.preprocess = preprocess  # what it has learnt is saved with it
            self.task = task

        # MLflow finds the signature here, and wants the first argument to be called self.
        @tf.function(
            input_signature=[_named(element)],
            autograph=False,
        )
        def __call__(self, inputs: Any) -> Any:
            return task.predict(self.model(self.preprocess(inputs), training=False))

    module = Servable()
    if isinstance(element, dict):
        module.of_columns = _of_columns(module, element)
    return module


def column(name: str) -> str:
    """What a served model calls the feature ``name``: ``features/carat`` is ``features_carat``."""
    found = re.sub(r"\W", "_", name)
    return f"_{found}" if found[:1].isdigit() else found


def _of_columns(module: tf.Module, element: dict[str, tf.TensorSpec]) -> Any:
    """``module`` with an argument for each feature, such as MLflow calls it with the columns of a
    table: whole numbers come as int64 and others as float64, whatever is stored."""
    specs = {
        column(name): tf.TensorSpec(spec.shape, _wide(spec.dtype), column(name))
        for name, spec in element.items()
    }

    def serve(**columns: tf.Tensor) -> dict[str, Any]:
        inputs = {
            name: columns[column(name)]
            if spec.dtype == tf.string
            else tf.cast(columns[column(name)], spec.dtype)
            for name, spec in element.items()
        }
        return {"predictions": module(inputs)}  # type: ignore[operator]

    return tf.function(serve, autograph=False).get_concrete_function(**specs)


def _wide(dtype: tf.DType) -> tf.DType:
    if dtype.is_floating:
        return tf.float64
    return tf.int64 if dtype.is_integer else dtype


def answers(module: tf.Module, batches: Iterable[Any]) -> np.ndarray:
    """What ``module`` says to all of the inputs that come in ``batches``: ``[n, …]``."""
    tensors = (tf.nest.map_structure(tf.convert_to_tensor, batch) for batch in batches)
    return np.concatenate([module(batch).numpy() for batch in tensors])  # type: ignore[operator]


def _named(element: Any) -> Any:
    """The names by which a served model's inputs are known: the features', or ``inputs``."""
    if isinstance(element, dict):
        return {name: tf.TensorSpec(spec.shape, spec.dtype, name) for name, spec in element.items()}
    return tf.TensorSpec(element.shape, element.dtype, "inputs")
