"""The checkpoint that a run goes on from: from the disk, from MLflow, or an earlier one."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import StoreError, TrainingError

pytestmark = pytest.mark.slow  # a store


def _rewrite(folder: Path, change: Callable[[bytes], bytes]) -> None:
    (data,) = folder.glob("variables.data*")
    content = data.read_bytes()
    data.unlink()  # the same file may wait in the outbox
    data.write_bytes(change(content))


def _flip(folder: Path) -> None:
    _rewrite(folder, lambda content: bytes([content[0] ^ 1]) + content[1:])


def _truncate(folder: Path) -> None:
    _rewrite(folder, lambda content: content[:-1])


def _remove_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def test_whole_newest_is_used_without_a_word(process, capsys: pytest.CaptureFixture[str]) -> None:
    one = process()
    one.save(10, 20, best=10)
    two = process(after=one)
    progress = two.checkpoints.restore()
    assert (two.run.current_step, float(two.run.w)) == (20, pytest.approx(20**0.5))
    assert (progress.best, progress.best_step) == (0.5, 10)
    said = capsys.readouterr()
    assert said.out + said.err == ""


def test_damaged_on_disk_is_taken_from_mlflow_and_told(
    process, capsys: pytest.CaptureFixture[str]
) -> None:
    one = process()
    one.save(10, 20, best=10)
    two = process(after=one)
    _flip(two.on_disk[20])
    two.checkpoints.restore()
    assert two.run.current_step == 20
    assert capsys.readouterr().err == (
        "warning: checkpoint step-00000020: variables.data-00000-of-00001 is damaged (its SHA-256 "
        "differs). Training goes on from step 20, from step-00000020.\n"
    )
    three = process(after=two)
    three.checkpoints.restore()  # the disk has the whole one now
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (_flip, r"variables\.data-00000-of-00001 is damaged \(its SHA-256 differs\)"),
        (_truncate, r"variables\.data-00000-of-00001 is damaged \(its SHA-256 differs\)"),
        (_remove_manifest, r"manifest\.json cannot be read: \[Errno 2\] No such file"),
        (shutil.rmtree, r"manifest\.json cannot be read: \[Errno 2\] No such file"),
    ],
    ids=["flipped", "truncated", "without manifest", "gone"],
)
def test_newest_that_is_nowhere_usable_falls_back_to_the_one_before_loudly(
    process, capsys: pytest.CaptureFixture[str], spoil: Callable[[Path], None], text: str
) -> None:
    one = process()
    one.save(10, 20, 30, best=10)
    two = process(after=one)
    spoil(two.on_disk[30])
    spoil(two.published[30][0])
    two.checkpoints.restore()
    assert (two.run.current_step, float(two.run.w)) == (20, pytest.approx(20**0.5))
    err = capsys.readouterr().err
    assert re.match(rf"warning: checkpoint step-00000030: {text}", err)
    assert "(in MLflow, m-" in err
    assert err.endswith("Training goes on from step 20, from step-00000020.\n")
    assert set(two.on_disk) == {10, 20}
    two.settle()
    # What is damaged is not offered any more, by any role.
    assert {s: roles for s, (_, roles) in two.published.items()} == {10: {"best"}, 20: {"last"}}
    run = two.tracker.store.recorded(two.tracker.run_id)
    assert run.tags["fallback/20"] in err

    two.save(30, best=30)
    three = process(after=two)
    three.checkpoints.restore()  # of the damaged ones nothing is left to complain of
    assert three.run.current_step == 30
    assert capsys.readouterr().err == ""
    history = three.tracker.store.history(three.tracker.run_id, "val/loss")
    assert [point.step for point in history] == [10, 20, 30]


def test_falling_back_to_what_only_mlflow_has_takes_the_roles_from_the_damaged_one(
    process, capsys: pytest.CaptureFixture[str]
) -> None:
    one = process()
    one.save(10, 20, best=10)
    two = process(after=one)
    for folder in two.on_disk.values():
        shutil.rmtree(folder)
    _flip(two.published[20][0])
    two.checkpoints.restore()
    assert two.run.current_step == 10
    assert "Training goes on from step 10" in capsys.readouterr().err
    two.settle()
    assert {s: roles for s, (_, roles) in two.published.items()} == {10: {"best", "last"}}


def test_damaged_first_best_is_replaced_when_its_step_is_trained_again(process) -> None:
    """The one before knows of no best, so the damaged one keeps that role until then."""
    from pipeline.training.checkpoints import read_manifest

    one = process()
    one.save(10, 20)
    one.save(30, best=30)
    two = process(after=one)
    _flip(two.on_disk[30])
    _flip(two.published[30][0])
    two.checkpoints.restore()
    two.save(30, best=30)
    two.settle()
    ((folder, roles),) = two.published.values()
    assert (read_manifest(folder).step, roles) == (30, {"best", "last"})


def test_newest_that_is_gone_without_a_trace_is_called_missing(
    process, capsys: pytest.CaptureFixture[str]
) -> None:
    one = process()
    one.save(10, 20, best=10)
    two = process(after=one)
    shutil.rmtree(two.on_disk[20])
    for checkpoint in two.tracker.models.checkpoints():
        if checkpoint.step == 20:
            two.tracker.models.delete(checkpoint.model_id)
    two.checkpoints.restore()
    assert two.run.current_step == 10
    assert "warning: checkpoint step-00000020: it is missing." in capsys.readouterr().err


def test_none_usable_anywhere_is_an_error_that_lists_them(process) -> None:
    one = process()
    one.save(10, 20, best=10)
    two = process(after=one)
    for folder in (*two.on_disk.values(), *(folder for folder, _ in two.published.values())):
        _truncate(folder)
    with pytest.raises(StoreError) as caught:
        two.checkpoints.restore()
    said = str(caught.value).splitlines()
    assert said[0].startswith(f"run {two.tracker.run_id} cannot go on: it has no usable checkpoint")
    assert [line.split(":")[0].strip() for line in said[1:5]] == [
        *["checkpoint step-00000020"] * 2,
        *["checkpoint step-00000010"] * 2,
    ]
    assert ["in MLflow" in line for line in said[1:5]] == [False, True, False, True]
    assert said[5] == "Start a new run."
    assert two.run.current_step == 0
    assert set(two.on_disk) == {10, 20}  # and nothing was removed


def test_run_from_another_machine_goes_on_from_mlflow_without_sending_it_back(
    process, capsys: pytest.CaptureFixture[str]
) -> None:
    one = process()
    one.save(10, 20, best=10)
    one.tracker.finish("KILLED")
    shutil.rmtree(one.tracker.folder)
    one.tracker._journal.path.unlink()
    two = process(after=one)
    before = {c.model_id for c in two.tracker.models.checkpoints()}
    progress = two.checkpoints.restore()
    assert (two.run.current_step, progress.best_step) == (20, 10)
    two.settle()
    assert {c.model_id for c in two.tracker.models.checkpoints()} == before
    assert capsys.readouterr().err == ""


def test_what_was_saved_and_not_published_is_published_on_resume(process) -> None:
    one = process()
    one.save(10, best=10)
    one.run.train(20)
    one.checkpoints.on_disk.save(20, {"val/loss": 0.05}, {"best": 0.9, "best_step": 20})
    two = process(after=one)
    assert set(two.published) == {10}
    two.checkpoints.restore()
    two.settle()
    assert {s: roles for s, (_, roles) in two.published.items()} == {20: {"best", "last"}}


def test_no_room_to_fetch_a_checkpoint_is_no_damage(process, monkeypatch) -> None:
    """Else a full disk would cost the newest checkpoint."""
    import errno

    from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

    one = process()
    one.save(10, 20, best=10)
    two = process(after=one)
    shutil.rmtree(two.on_disk[20])

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(LocalArtifactRepository, "download_artifacts", full)
    with pytest.raises(TrainingError, match="No space left on device. Make room, and try again"):
        two.checkpoints.restore()


def test_best_is_taken_from_mlflow_where_the_disk_has_it_damaged(process) -> None:
    from pipeline.training.progress import Progress

    one = process()
    one.save(10, 20, best=10)
    one.settle()
    _flip(one.on_disk[10])
    one.checkpoints.restore_best(Progress(best=0.5, best_step=10))
    assert one.run.current_step == 10


def test_best_on_disk_is_used_where_mlflow_does_not_answer(
    process, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from pipeline.tracking.models import Models
    from pipeline.training.progress import Progress

    def gone(_: Models) -> None:
        raise ConnectionError("server is gone")

    one = process()
    one.save(10, best=10)
    one.save(20, best=10)
    one.settle()
    monkeypatch.setattr(Models, "checkpoints", gone)
    one.checkpoints.restore_best(Progress(best=0.5, best_step=10))
    assert (one.run.current_step, capsys.readouterr().err) == (10, "")
    one.run.train(20)
    (one.on_disk[10] / "manifest.json").unlink()
    one.checkpoints.restore_best(Progress(best=0.5, best_step=10))
    told = capsys.readouterr().err
    assert one.run.current_step == 20
    assert "cannot be asked for checkpoints: server is gone" in told
    assert "the test scores and the model are of the last step, 20." in told


def test_best_that_is_damaged_everywhere_is_told_and_the_last_stays(
    process, capsys: pytest.CaptureFixture[str]
) -> None:
    from pipeline.training.progress import Progress

    one = process()
    one.save(10, 20, best=10)
    one.settle()
    _flip(one.on_disk[10])
    _flip(one.published[10][0])
    one.checkpoints.restore_best(Progress(best=0.5, best_step=10))
    assert one.run.current_step == 20
    text = "the best checkpoint, of step 10, cannot be used (checkpoint step-00000010: variables"
    err = capsys.readouterr().err
    assert err.startswith(f"warning: {text}")
    assert err.endswith("the test scores and the model are of the last step, 20.\n")
    one.settle()
    assert one.tracker.store.recorded(one.tracker.run_id).tags["best.unusable"] in err


def test_other_devices_are_told_to_be_equal_to_rounding_only(
    process, capsys: pytest.CaptureFixture[str]
) -> None:
    one = process()
    one.save(10, best=10)
    two = process(after=one, replicas=2)
    two.checkpoints.restore()
    text = (
        "from step 10 on CPU:0, CPU:1 instead of CPU:0: equal to rounding only; layers that draw "
        "random numbers (dropout, noise) draw others"
    )
    assert capsys.readouterr().out == f"resumed {text}\n"
    two.settle()
    tags = two.tracker.store.recorded(two.tracker.run_id).tags
    assert tags["resumed/devices/10"] == text
