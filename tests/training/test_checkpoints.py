"""Checkpoints: whole or not at all, verified, complete."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import StoreError, TrainingError


@pytest.fixture
def saved(make_trainer, tmp_path: Path):
    """A trainer that has taken 3 steps, its checkpoint store and the folder written."""
    from pipeline.training.checkpoints import Checkpoints

    trainer = make_trainer(1)
    trainer.train(3)
    checkpoints = Checkpoints(tmp_path, {"model": trainer.model, "step": trainer.step})
    folder = checkpoints.save(3, {"val/loss": 0.1 + 0.2}, {"best": 1 / 3})
    return trainer, checkpoints, folder


def test_restore_gives_back_every_bit(saved) -> None:
    trainer, checkpoints, folder = saved
    kept = {k: v.numpy() for k, v in trainer.model.named_variables().items()}
    trainer.train(5)
    manifest = checkpoints.restore(folder)
    assert manifest.step == trainer.current_step == 3
    assert manifest.metrics == {"val/loss": 0.1 + 0.2}
    assert manifest.progress == {"best": 1 / 3}
    for path, variable in trainer.model.named_variables().items():
        np.testing.assert_array_equal(variable, kept[path])


@pytest.mark.parametrize("replicas", [(1, 2), (4, 1)])
def test_checkpoint_restores_on_another_number_of_replicas(
    make_trainer, tmp_path: Path, replicas
) -> None:
    from pipeline.training.checkpoints import Checkpoints, weights_digest

    trainers = [make_trainer(n, seed=i) for i, n in enumerate(replicas)]
    trainers[0].train(3)
    stores = [Checkpoints(tmp_path, {"model": t.model, "step": t.step}) for t in trainers]
    stores[1].restore(stores[0].save(3, {}, {}))
    digests = [weights_digest(t.model.named_variables()) for t in trainers]
    assert digests[0] == digests[1]
    assert trainers[1].current_step == 3


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove", "no manifest"])
def test_damaged_checkpoint_is_refused_and_the_one_before_is_used(saved, damage: str) -> None:
    trainer, checkpoints, older = saved
    trainer.train(2)
    newer = checkpoints.save(5, {}, {})
    assert checkpoints.newest() == newer
    data = next(newer.glob("variables.data*"))
    if damage == "flip":
        content = bytearray(data.read_bytes())
        content[len(content) // 2] ^= 1
        data.write_bytes(content)
    elif damage == "truncate":
        data.write_bytes(data.read_bytes()[:-1])
    elif damage == "remove":
        data.unlink()
    else:
        (newer / "manifest.json").unlink()
    with pytest.raises(StoreError, match=r"step-00000005: .*(damaged|missing|cannot be read)"):
        checkpoints.restore(newer)
    assert checkpoints.newest() == older


def test_what_a_killed_process_left_is_swept(saved, tmp_path: Path) -> None:
    from pipeline.training.checkpoints import Checkpoints

    left = tmp_path / ".unfinished-00000009-123"
    left.mkdir()
    (left / "variables.index").write_text("half")
    Checkpoints(tmp_path, {})
    assert not left.exists()


def test_checkpoint_of_another_model_is_refused(saved, make_trainer) -> None:
    import layers
    from pipeline.training.checkpoints import Checkpoints

    _, checkpoints, folder = saved
    other = make_trainer(
        1, model=lambda: layers.Stack({"f": layers.Flatten(), "logits": layers.Dense(4)})
    )
    store = Checkpoints(checkpoints.folder, {"model": other.model, "step": other.step})
    with pytest.raises(TrainingError, match="does not fit this model"):
        store.restore(folder)


def test_manifest_names_every_file_with_its_digest(saved) -> None:
    _, _, folder = saved
    manifest = json.loads((folder / "manifest.json").read_text())
    files = {path.name for path in folder.iterdir()} - {"manifest.json"}
    assert set(manifest["files"]) == files
    assert all(len(digest) == 64 for digest in manifest["files"].values())


def test_digest_changes_with_one_bit_and_with_a_name() -> None:
    import tensorflow as tf

    from pipeline.training.checkpoints import weights_digest

    a = weights_digest({"w": tf.Variable([1.0, 2.0])})
    assert a == weights_digest({"w": tf.Variable([1.0, 2.0])})
    assert a != weights_digest({"w": tf.Variable([1.0, np.nextafter(np.float32(2), 3)])})
    assert a != weights_digest({"v": tf.Variable([1.0, 2.0])})
