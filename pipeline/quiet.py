"""Loading TensorFlow without its remarks, and without Keras, which takes longer than all the rest.

Its libraries write to standard error while they load, before they look at any setting. What they
write is held back, and shown where the import fails.
"""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# TensorFlow asks for it at the end of its import, and does without where that fails. It registers
# what Keras saves; who uses Keras loads it then, with ``import keras`` or ``tf.keras``.
KERAS = "keras.src.optimizers"


def load_tensorflow() -> None:
    """Import TensorFlow; afterwards ``import tensorflow`` is free and silent."""
    if "tensorflow" in sys.modules:
        return
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        kept = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            with _without_keras():
                import tensorflow as tf
        except Exception:  # not a signal's: then its remarks are as idle as ever
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
    # Its warnings are about how we use it (each trial of a sweep traces its own graph), not about
    # what a user could do.
    tf.get_logger().setLevel("ERROR")


@contextmanager
def _without_keras() -> Iterator[None]:
    import_module = importlib.import_module

    def refusing(name: str, package: str | None = None) -> Any:
        if name == KERAS:
            raise ImportError(f"{name} is loaded by whoever uses it")
        return import_module(name, package)

    importlib.import_module = refusing
    try:
        yield
    finally:
        importlib.import_module = import_module
