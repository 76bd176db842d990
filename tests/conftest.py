"""One TensorFlow process for all tests: four logical CPU devices, data in a folder of its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")


@pytest.fixture(scope="session", autouse=True)
def tfds_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Datasets are prepared once a session, away from the user's own."""
    folder = str(tmp_path_factory.mktemp("tfds"))
    os.environ["TFDS_DATA_DIR"] = folder
    return folder


@cache
def _tensorflow() -> Any:
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 4)
    return tf


@cache
def _strategy(replicas: int) -> Any:
    return _tensorflow().distribute.MirroredStrategy([f"CPU:{i}" for i in range(replicas)])


@pytest.fixture(scope="session")
def strategy_of() -> Callable[[int], Any]:
    """``strategy_of(n)``: a MirroredStrategy over ``n`` (at most 4) logical CPU devices."""
    return _strategy
