"""SIGKILL in mid-run, several times, and a final model: the parts that need a process."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline import tracking
from pipeline.config import Tracking

pytestmark = pytest.mark.slow

# Logs from a "checkpoint" at the last multiple of 100, and is killed by itself.
TRAIN = """
import os, signal, sys
from pipeline import tracking
from pipeline.config import Tracking
root, run_id, begin, end = sys.argv[1], sys.argv[2] or None, int(sys.argv[3]), int(sys.argv[4])
tracker = tracking.start(Tracking(root=root, system_metrics=False), resume_run_id=run_id)
print(tracker.run_id, flush=True)
for step in range(begin, end):
    tracker.log({"loss": step / 7, "val/loss": step / 3}, step)
    if step % 50 == 0:
        tracker.text(str(step), "at.txt")
if end < 1000:
    os.kill(os.getpid(), signal.SIGKILL)
sys.exit(tracker.finish("FINISHED"))
"""


def test_a_run_that_is_killed_and_resumed_has_every_point_once(
    config: Tracking, forked: Any, stored: Any, tmp_path: Path
) -> None:
    run_id = ""
    for begin, end in ((0, 250), (200, 620), (600, 1000)):
        words = (config.root, run_id, str(begin), str(end))
        process = forked(None, *words, code=TRAIN, cwd=tmp_path)
        out, err = process.communicate(timeout=60)
        assert process.returncode == (0 if end == 1000 else -signal.SIGKILL), err
        run_id = out.strip()
    store = tracking.open_store(config)
    for key, scale in (("loss", 7), ("val/loss", 3)):
        assert stored(store, run_id, key) == [(step, step / scale) for step in range(1000)]
    assert store.recorded(run_id).status == "FINISHED"
    assert store.text(run_id, "at.txt") == "950"


def test_the_final_model_predicts_what_the_module_computes(
    config: Tracking, tmp_path: Path, strategy_of: Any
) -> None:
    strategy = strategy_of(2)
    import mlflow.pyfunc
    import tensorflow as tf

    class Model(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = tf.Variable(tf.random.stateless_normal([4, 3], [0, 1]))

        @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32)])
        def __call__(self, x: tf.Tensor) -> tf.Tensor:
            return x @ self.w

    with strategy.scope():
        module = Model()
    example = np.linspace(0, 1, 20, dtype=np.float32).reshape(5, 4)
    outputs = module(example).numpy()
    tracker = tracking.start(config)
    tracker.model(module, "final", example, outputs, ["tensorflow"], 7, {"test/accuracy": 0.5})
    assert tracker.finish("FINISHED") == 0
    store = tracking.open_store(config)
    [model] = store.client.search_logged_models(["1"], f"source_run_id='{tracker.run_id}'")
    assert (model.name, model.params["step"], model.metrics[0].value) == ("final", "7", 0.5)
    assert store.client.get_run(tracker.run_id).outputs.model_outputs[0].model_id == model.model_id
    loaded = mlflow.pyfunc.load_model(model.artifact_location)
    assert loaded.metadata.model_id == model.model_id
    assert loaded.metadata.run_id == tracker.run_id
    np.testing.assert_array_equal(loaded.predict(example), outputs)
    assert loaded.metadata.signature.inputs.inputs[0].shape == (-1, 4)
    one = loaded.predict(example[:1])  # the batch is free
    np.testing.assert_allclose(one, outputs[:1], rtol=1e-6)
