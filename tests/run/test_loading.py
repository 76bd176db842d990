"""TensorFlow as the verbs load it: without Keras, which is there for whoever asks for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import sys
from pipeline.quiet import load_tensorflow
load_tensorflow()
print(sorted({"keras", "sklearn", "pandas"} & set(sys.modules)))
import tensorflow as tf
from tensorflow.keras.models import Model
import keras
print(tf.keras.optimizers.Adam is keras.optimizers.Adam, issubclass(keras.Sequential, Model))
"""

RUN = """
import sys
from pipeline.train import compose, fit
fit(compose("train", ["+experiment=digits", "trainer.duration=1 epoch", "trainer.compile=off"]))
print(sorted({"keras", "matplotlib"} & set(sys.modules)))
"""


@pytest.mark.slow
@pytest.mark.exhaustive
def test_a_whole_run_does_without_keras(tmp_path: Path) -> None:
    """Loading it takes longer than to train: the export of the model did once."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", RUN], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.exhaustive
@pytest.mark.slow
def test_tensorflow_loads_without_keras_which_can_be_had_afterwards() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["[]", "True True"]
