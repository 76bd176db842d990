"""The checkpoints of a run, on disk and in MLflow: which stay, which one it goes on from."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest

from pipeline.console import Console
from pipeline.errors import StoreError, TrainingError

pytestmark = pytest.mark.slow  # a store


class Run:
    """A run of one number, ``w``, which training makes the step's square root."""

    def __init__(self, strategy: Any) -> None:
        import tensorflow as tf

        self.strategy = strategy
        self.step = tf.Variable(0, dtype=tf.int64)
        self.w = tf.Variable(0.0)
        self.trainer = self

    @property
    def current_step(self) -> int:
        return int(self.step)

    def checkpointed(self) -> dict[str, Any]:
        return {"step": self.step, "w": self.w}

    def train(self, step: int) -> None:
        self.step.assign(step)
        self.w.assign(step**0.5)


@dataclass
class Process:
    """What one process has of a run."""

    run: Run
    tracker: Any
    checkpoints: Any

    def save(self, *steps: int, best: int = 0, value: float = 0.5) -> None:
        """Train to each step and save; ``best`` is the step that is the best so far."""
        for step in steps:
            self.run.train(step)
            progress = {"best": value if best else None, "best_step": best}
            self.checkpoints.save(step, {"val/loss": 1 / step}, progress, best == step)
        self.checkpoints.wait()

    @property
    def on_disk(self) -> dict[int, Path]:
        here = self.checkpoints.on_disk
        return {step: here.path(step) for step in here.steps()}

    @property
    def published(self) -> dict[int, tuple[Path, frozenset[str]]]:
        client, found = self.tracker.store.client, self.tracker.models.checkpoints()
        place = {c.step: client.get_logged_model(c.model_id).artifact_location for c in found}
        return {c.step: (Path(urlparse(place[c.step]).path), c.roles) for c in found}


@pytest.fixture
def process(strategy_of, root: Path) -> Iterator[Callable[..., Process]]:
    """``process()`` begins a run, ``process(after=another)`` ends that one and takes up its run."""
    from pipeline import tracking
    from pipeline.config import Tracking
    from pipeline.run_checkpoints import RunCheckpoints

    opened: list[Process] = []

    def start(after: Process | None = None, replicas: int = 1) -> Process:
        run_id = None
        if after is not None:
            run_id = after.tracker.run_id
            assert after.tracker.finish("KILLED") == 0
        run = Run(strategy_of(replicas))
        config = Tracking(root=str(root), system_metrics=False, experiment="checkpoints")
        tracker = tracking.start(config, resume_run_id=run_id)
        opened.append(Process(run, tracker, RunCheckpoints(tracker, run, Console())))  # type: ignore[arg-type]
        return opened[-1]

    yield start
    for one in opened:
        one.tracker.finish("KILLED")


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


def _delivered(one: Process) -> None:
    """Until MLflow has what was published."""
    while not one.tracker._journal.complete:
        assert not one.tracker.problems


def test_disk_keeps_the_last_the_one_before_and_the_best_of_both(process) -> None:
    one = process()
    one.checkpoints.begin(_progress(best_step=0))
    one.save(5, 7)
    assert set(one.on_disk) == {5, 7}
    one.save(10, best=10)
    one.save(20, 30, best=10)
    one.save(40, best=40)
    assert set(one.on_disk) == {10, 30, 40}
    one.save(50, best=40)
    assert set(one.on_disk) == {40, 50}
    _delivered(one)
    assert {s: roles for s, (_, roles) in one.published.items()} == {40: {"best"}, 50: {"last"}}


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
    _delivered(two)
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
    _delivered(two)
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
    _delivered(two)
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
    _delivered(two)
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
    _delivered(two)
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
    one = process()
    one.save(10, 20, best=10)
    _delivered(one)
    _flip(one.on_disk[10])
    one.checkpoints.restore_best(_progress(best_step=10))
    assert one.run.current_step == 10


def test_best_that_is_damaged_everywhere_is_told_and_the_last_stays(
    process, capsys: pytest.CaptureFixture[str]
) -> None:
    one = process()
    one.save(10, 20, best=10)
    _delivered(one)
    _flip(one.on_disk[10])
    _flip(one.published[10][0])
    one.checkpoints.restore_best(_progress(best_step=10))
    assert one.run.current_step == 20
    text = "the best checkpoint, of step 10, cannot be used (checkpoint step-00000010: variables"
    err = capsys.readouterr().err
    assert err.startswith(f"warning: {text}")
    assert err.endswith("the test scores and the model are of the last step, 20.\n")
    _delivered(one)
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
    _delivered(two)
    tags = two.tracker.store.recorded(two.tracker.run_id).tags
    assert tags["resumed/devices/10"] == text


def test_failing_disk_is_told_once_and_at_the_end(
    process, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import tensorflow as tf

    one = process()
    one.save(10, best=10)
    write = tf.train.Checkpoint.write

    def fill(self: Any, path: str, **options: Any) -> str:
        write(self, path, **options)
        raise tf.errors.ResourceExhaustedError(
            None, None, f"{path}.tempstate1; No space left on device [Op:SaveV2]"
        )

    with monkeypatch.context() as patch:
        patch.setattr(tf.train.Checkpoint, "write", fill)
        one.save(20, 30, best=10)
    folder = one.checkpoints.on_disk.folder
    assert capsys.readouterr().err == (
        "warning: checkpoint step-00000020: cannot be written: No space left on device "
        f"({folder}). Training goes on; the last checkpoint is of step 10.\n"
    )
    assert [path.name for path in folder.iterdir()] == ["step-00000010"]
    one.checkpoints.tell_unsaved()
    assert capsys.readouterr().err == (
        "warning: the state that training ended with is NOT saved: checkpoint step-00000030: cannot"
        f" be written: No space left on device ({folder}); the last checkpoint is of step 10.\n"
    )
    one.save(40, best=10)
    one.checkpoints.tell_unsaved()
    assert capsys.readouterr().err == ""
    assert set(one.on_disk) == {10, 40}


def _progress(best_step: int) -> Any:
    from pipeline.training.loop import Progress

    return Progress(best=0.5 if best_step else None, best_step=best_step)


def test_training_goes_on_while_a_checkpoint_is_written(
    process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state that is saved is that of the save, whatever training does until it is written."""
    from pipeline.training.checkpoints import Checkpoints

    one = process()
    write, go = Checkpoints.write, threading.Event()

    def slow(self: Checkpoints, *arguments: Any) -> Path:
        assert go.wait(20)
        return write(self, *arguments)

    monkeypatch.setattr(Checkpoints, "write", slow)
    one.run.train(4)
    one.checkpoints.save(4, {}, {}, best=False)
    one.run.train(9)
    assert one.on_disk == {}
    go.set()
    one.checkpoints.wait()
    assert list(one.on_disk) == [4]
    one.checkpoints.restore()
    assert (one.run.current_step, one.run.w.numpy()) == (4, 2.0)


def test_a_run_that_was_given_up_publishes_no_more(process) -> None:
    one = process()
    one.save(4)
    one.checkpoints.close(wait=True)
    one.save(9)
    _delivered(one)
    assert list(one.published) == [4]
