"""A trained model as a folder that MLflow loads and serves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
from mlflow.models import Model, infer_signature

from pipeline.tracking import surroundings
from pipeline.tracking.models import SAVED_MODEL


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
    example: np.ndarray,
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
            a free first dimension.
    """
    import tensorflow as tf

    description = Model()
    description.add_flavor(
        "tensorflow", code=None, saved_model_dir=SAVED_MODEL, model_type="tf2-module"
    )
    mlflow.pyfunc.save_model(
        str(folder),
        loader_module="mlflow.tensorflow",
        mlflow_model=description,
        signature=infer_signature(example, outputs),
        input_example=example,
        pip_requirements=list(requirements),
    )
    tf.saved_model.save(module, str(folder / SAVED_MODEL))
    description.model_size_bytes = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
    description.save(str(folder / "MLmodel"))
