"""Checkpoints: whole or not at all, verified, complete."""

from __future__ import annotations

import errno
import json
import resource
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import StoreError, TrainingError


@pytest.fixture(scope="module")
def trainer(make_trainer):
    """Traced once for all tests here; each takes it as the one before has left it."""
    trainer = make_trainer(1)
    trainer.train(1)
    return trainer


@pytest.fixture
def saved(trainer, tmp_path: Path):
    """A trainer at step 3, its checkpoint store and the folder written."""
    from pipeline.training.checkpoints import Checkpoints

    trainer.step.assign(3)
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
    trainers[0].step.assign(3)
    stores = [Checkpoints(tmp_path, {"model": t.model, "step": t.step}) for t in trainers]
    digests = [weights_digest(t.model.named_variables()) for t in trainers]
    assert digests[0] != digests[1]
    stores[1].restore(stores[0].save(3, {}, {}))
    assert weights_digest(trainers[1].model.named_variables()) == digests[0]
    assert trainers[1].current_step == 3


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove", "no manifest"])
def test_damaged_checkpoint_is_refused_and_nothing_of_it_is_read(saved, damage: str) -> None:
    trainer, checkpoints, older = saved
    trainer.train(2)
    newer = checkpoints.save(5, {}, {})
    assert checkpoints.steps() == [5, 3]
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
    assert trainer.current_step == 5
    assert checkpoints.restore(older).step == trainer.current_step == 3


def test_only_what_is_to_be_kept_stays(saved) -> None:
    _, checkpoints, _ = saved
    for step in (5, 7, 9):
        checkpoints.save(step, {}, {})
    checkpoints.keep({3, 9, 11})
    assert checkpoints.steps() == [9, 3]


def test_disk_that_takes_no_more_leaves_the_older_ones_and_no_remains(saved) -> None:
    """A real limit of the system on the size of a file, which TensorFlow's writer runs into."""
    trainer, checkpoints, older = saved
    trainer.train(2)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, hard))
    try:
        with pytest.raises(StoreError) as caught:
            checkpoints.save(5, {}, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(caught.value) == "checkpoint step-00000005: cannot be written: File too large"
    assert list(checkpoints.folder.iterdir()) == [older]
    assert checkpoints.restore(older).step == 3
    assert checkpoints.save(5, {}, {}).name == "step-00000005"


def test_failing_manifest_leaves_no_checkpoint(saved, monkeypatch: pytest.MonkeyPatch) -> None:
    _, checkpoints, older = saved

    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(StoreError, match="step-00000005: cannot be written: Input/output error"):
        checkpoints.save(5, {}, {})
    assert list(checkpoints.folder.iterdir()) == [older]


def test_checkpoint_says_which_devices_trained_it(make_trainer, tmp_path: Path) -> None:
    from pipeline.training.checkpoints import Checkpoints, read_manifest

    objects = {"step": make_trainer(1).step}
    folder = Checkpoints(tmp_path, objects, ["CPU:0", "CPU:1"]).save(1, {}, {})
    assert read_manifest(folder).devices == ["CPU:0", "CPU:1"]


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
