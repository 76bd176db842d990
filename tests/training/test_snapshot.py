"""A snapshot is saved as the same checkpoint as the originals, and stays as it was taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.slow


def _objects(trainer: Any) -> dict[str, Any]:
    inner = trainer._step
    found = {"step": trainer.step, "model": trainer.model, "optimizer": inner.optimizer}
    return found | ({"average": inner.average} if inner.average else {})


def _contents(prefix: Path) -> dict[str, np.ndarray]:
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(prefix))
    names = reader.get_variable_to_shape_map()
    return {n: reader.get_tensor(n) for n in names if n != "_CHECKPOINTABLE_OBJECT_GRAPH"}


def _stateful() -> Any:
    import layers

    return layers.Stack(
        {
            "rows": layers.Reshape([6, 6]),
            "recurrent": layers.Stateful(layers.GRUCell(5), batch=16),
            "flat": layers.Flatten(),
            "norm": layers.BatchNorm(),
            "logits": layers.Dense(4),
        }
    )


@pytest.mark.parametrize("replicas", [1, 2])
def test_snapshot_is_saved_as_the_same_checkpoint(make_trainer, tmp_path: Path, replicas) -> None:
    import tensorflow as tf

    from pipeline.training.optimizers import Adam
    from pipeline.training.snapshot import Snapshot

    trainer = make_trainer(
        replicas, model=_stateful, optimizer=lambda: Adam(1e-2), decay=0.9, seed=3
    )
    snapshot = Snapshot(_objects(trainer))
    trainer.train(3)
    tf.train.Checkpoint(**_objects(trainer)).write(str(tmp_path / "originals"))
    snapshot.take()
    trainer.train(2)
    snapshot.checkpoint.write(str(tmp_path / "snapshot"))

    expected, found = _contents(tmp_path / "originals"), _contents(tmp_path / "snapshot")
    assert len(found) > 20
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name, strict=True)

    tf.train.Checkpoint(**_objects(trainer)).read(str(tmp_path / "snapshot")).assert_consumed()
    assert trainer.current_step == 3


@pytest.mark.parametrize("mode", ["off", "gradients", "loop"])
def test_training_on_does_not_change_what_was_taken(make_trainer, tmp_path: Path, mode) -> None:
    import tensorflow as tf

    from pipeline.training.optimizers import Adam
    from pipeline.training.snapshot import Snapshot

    trainer = make_trainer(mode=mode, optimizer=lambda: Adam(1e-2), decay=0.9)
    trainer.train(3)
    snapshot = Snapshot(_objects(trainer))
    snapshot.take()
    weights = trainer.model.named_variables()
    taken = {path: np.array(variable) for path, variable in weights.items()}
    trainer.train(50)
    snapshot.checkpoint.write(str(tmp_path / "snapshot"))
    assert all(not np.array_equal(taken[path], variable) for path, variable in weights.items())
    tf.train.Checkpoint(**_objects(trainer)).read(str(tmp_path / "snapshot")).assert_consumed()
    for path, variable in weights.items():
        np.testing.assert_array_equal(taken[path], variable, err_msg=path)


def test_what_is_no_variable_is_saved_from_the_original(tmp_path: Path) -> None:
    """A table cannot be copied beside, so there is no snapshot."""
    import tensorflow as tf

    from pipeline.training.checkpoints import Checkpoints

    class Counts(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = tf.Variable(1.0)
            self.table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, 0)

    counts = Counts()
    checkpoints = Checkpoints(tmp_path, {"counts": counts})
    counts.table.insert("a", 1)
    assert checkpoints.snapshot() is None
    folder = checkpoints.save(1, {}, {})
    counts.table.insert("a", 2)
    checkpoints.restore(folder)
    assert counts.table.lookup("a").numpy() == 1
