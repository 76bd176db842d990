"""A trained model as a folder that MLflow loads and serves."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
from mlflow.models import Model, infer_signature

from pipeline.tracking import surroundings
from pipeline.tracking.models import SAVED_MODEL

SERVED = "serving_default"


def preload() -> None:
    """Do now what MLflow does once in a process, when a store is opened or a model is saved."""
    import sqlalchemy.orm
    from mlflow.store.tracking import sqlalchemy_store  # noqa: F401
    from mlflow.utils import requirements_utils

    sqlalchemy.orm.configure_mappers()
    requirements_utils._init_modules_to_packages_map()
    surroundings.packages()


def save_model(
    module: Any,
    folder: Path,
    example: np.ndarray | Mapping[str, np.ndarray],
    outputs: np.ndarray,
    requirements: Sequence[str],
) -> None:
    """Write ``module`` to ``folder``, which must not exist, in MLflow's ``tensorflow`` flavor.

    What ``mlflow.tensorflow.save_model`` writes, which would load Keras to see that the module is
    none of its models (2 s). The requirements are given, because MLflow would otherwise load the
    model in a new process to find them (6 s).

    Args:
        module: a ``tf.Module`` whose ``__call__`` is a ``tf.function`` with an input signature.
        example: a few inputs; outputs: what the module makes of them. Both fix the signature, with
            a free first dimension. Where there are several inputs, by name, the module has an
            attribute ``of_columns``, which takes them by the names of the columns of a table.
    """
    import tensorflow as tf

    description = Model()
    of_columns = getattr(module, "of_columns", None)
    signatures = None if of_columns is None else {SERVED: of_columns}
    if of_columns is None:
        kind: dict[str, Any] = {"model_type": "tf2-module"}
    else:  # MLflow's name for what has inputs by name
        kind = {"model_type": "tf1-estimator", "meta_graph_tags": ["serve"]}
        kind["signature_def_key"] = SERVED
        example = _table(example)
    if isinstance(example, np.ndarray) and example.dtype == object:
        example = _text(example)  # MLflow writes bytes in base64, which the model would read as is
    description.add_flavor("tensorflow", code=None, saved_model_dir=SAVED_MODEL, **kind)
    mlflow.pyfunc.save_model(
        str(folder),
        loader_module="mlflow.tensorflow",
        mlflow_model=description,
        signature=infer_signature(example, outputs),
        input_example=example,
        pip_requirements=list(requirements),
    )
    tf.saved_model.save(module, str(folder / SAVED_MODEL), signatures)
    description.model_size_bytes = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
    description.save(str(folder / "MLmodel"))


def _table(example: Any) -> Any:
    """Inputs by name as the table that MLflow takes, or as they are where one is no column."""
    wide = {re.sub(r"\W", "_", name): _wide(values) for name, values in example.items()}
    if any(values.ndim != 1 for values in wide.values()):
        return wide
    import pandas

    return pandas.DataFrame(wide)


def _wide(values: np.ndarray) -> np.ndarray:
    """Text as str, whole numbers as int64, others as float64: what a table is read with."""
    if values.dtype == object:
        return _text(values)
    kinds = {"f": np.float64, "i": np.int64, "u": np.int64}
    return values.astype(kinds.get(values.dtype.kind, values.dtype))


def _text(values: np.ndarray) -> np.ndarray:
    """UTF-8 as str, in the shape that it has."""
    decode = np.vectorize(lambda value: value.decode(errors="replace"), [object])
    decoded: np.ndarray = decode(values)
    return decoded
