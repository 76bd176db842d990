"""TensorFlow as the verbs load it: without Keras, which is there for whoever asks for it."""

from __future__ import annotations

import subprocess
import sys

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


@pytest.mark.slow
def test_tensorflow_loads_without_keras_which_can_be_had_afterwards() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["[]", "True True"]
