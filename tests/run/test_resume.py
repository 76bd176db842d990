"""Resumed runs: killed anywhere, damaged checkpoints, full disks, other devices, longer ones."""

from __future__ import annotations

import errno
import itertools
import os
import random
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import killing
import pytest
from comparing import Difference, compare
from filelock import FileLock

from pipeline import tracking
from pipeline.config import Tracking
from pipeline.errors import ConfigError, StoreError

pytestmark = pytest.mark.slow

SHORT = (
    "+experiment=digits",
    "model.layers.hidden.units=16",
    "schedule=constant",
    "trainer.duration=60 steps",
    "trainer.evaluate_every=20 steps",
    "trainer.checkpoint_every=10 steps",
    "trainer.checkpoint_seconds=0",
    "trainer.log_every=7 steps",
)


class Crash(Exception):
    """What the process is made to end with, after it has saved."""


@pytest.fixture(scope="module")
def whole(fit) -> str:
    """The run that nothing happened to."""
    return fit(*SHORT).run_id


@pytest.fixture
def crashed(fit, store, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """``crashed(at=40)``: the id of a run like ``whole`` that died at a step; its files stay."""
    from pipeline.recording import Recorder

    def run(*overrides: str, at: int = 40) -> str:
        show = Recorder.show

        def die(self: Recorder, step: int, metrics: dict[str, float]) -> None:
            show(self, step, metrics)
            if step > at:
                raise Crash

        with monkeypatch.context() as patch:
            patch.setattr(Recorder, "show", die)
            with pytest.raises(Crash):
                fit(*SHORT, *overrides)
        return store.latest()

    return run


@pytest.fixture(scope="module")
def checkpoints(root: Path) -> Callable[[str], dict[int, Path]]:
    """``checkpoints(run_id)``: step -> folder of those on disk."""

    def find(run_id: str) -> dict[int, Path]:
        folders = (root / "work" / run_id / "checkpoints").glob("step-*")
        return {int(folder.name.split("-")[1]): folder for folder in folders}

    return find


def _published(store: Any, run_id: str) -> dict[int, Path]:
    """Step -> folder of those that MLflow holds."""
    from pipeline.tracking.models import Models

    return {
        c.step: Path(urlparse(store.client.get_logged_model(c.model_id).artifact_location).path)
        for c in Models(store, run_id).checkpoints()
    }


def _flip(folder: Path) -> None:
    (data,) = folder.glob("variables.data*")
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.unlink()  # it may be linked to a copy that waits to be sent
    data.write_bytes(content)


def test_damaged_newest_costs_some_steps_and_changes_nothing(
    crashed, fit, whole, store, checkpoints, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id = crashed()
    _flip(checkpoints(run_id)[40])
    _flip(_published(store, run_id)[40])
    capsys.readouterr()
    assert fit(f"resume={run_id}").run_id == run_id
    said = capsys.readouterr()
    assert said.err.startswith("warning: checkpoint step-00000040: variables.data")
    assert said.err.endswith("Training goes on from step 30, from step-00000030.\n")
    assert f"{run_id} (goes on at step 30)" in said.out
    # Steps 31 to 40 were trained and logged again: as they were, and each point once.
    assert compare(store, whole, run_id) == Difference()
    from pipeline.training.checkpoints import read_manifest

    assert read_manifest(_published(store, run_id)[60]).step == 60


# A disk that is full ---------------------------------------------------------------------------


def _full_disk(monkeypatch: pytest.MonkeyPatch, full: Callable[[int], bool]) -> None:
    """Checkpoints of the steps for which ``full`` holds end half written."""
    import tensorflow as tf

    write = tf.train.Checkpoint.write

    def fill(self: Any, path: str, **options: Any) -> str:
        written = write(self, path, **options)
        if full(int(self.step.numpy())):
            raise tf.errors.ResourceExhaustedError(
                None, None, f"{path}.tempstate123; No space left on device [Op:SaveV2]"
            )
        return written

    monkeypatch.setattr(tf.train.Checkpoint, "write", fill)


@pytest.mark.exhaustive
def test_training_goes_on_with_a_full_disk_and_says_what_is_not_saved(
    fit, whole, store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _full_disk(monkeypatch, lambda step: step > 50)
    run_id = fit(*SHORT).run_id
    warnings = [w for w in capsys.readouterr().err.splitlines() if w.startswith("warning:")]
    assert [w.partition(": No space")[0] for w in warnings[:2]] == [
        "warning: checkpoint step-00000060: cannot be written",
        "warning: the state that training ended with is NOT saved: checkpoint step-00000060: "
        "cannot be written",
    ]
    assert all("the last checkpoint is of step 50." in w for w in warnings[:2])
    found, expected = store.recorded(run_id), store.recorded(whole)
    assert found.status == "FINISHED"
    assert found.tags["sha256/last"] == expected.tags["sha256/last"]
    assert "No space left on device" in found.tags["checkpoint.unsaved"]
    assert max(_published(store, run_id)) == 50


@pytest.mark.exhaustive
def test_model_that_cannot_be_exported_is_said_and_resume_exports_it(
    fit, store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.tracking.tracker import Tracker

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Tracker, "model", full)
        with pytest.raises(
            StoreError, match="model cannot be written to .*: No space left"
        ) as said:
            fit(*SHORT)
    run_id = store.latest()
    assert f"resume={run_id} exports it" in str(said.value)
    assert store.recorded(run_id).status == "FAILED"
    fit(f"resume={run_id}")
    assert store.recorded(run_id).status == "FINISHED"
    assert store.client.get_run(run_id).outputs.model_outputs


# Other devices, longer runs, signals ---------------------------------------------------------


@pytest.mark.exhaustive
def test_another_number_of_replicas_goes_on_and_says_to_rounding_only(
    crashed, fit, whole, store, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id = crashed()
    capsys.readouterr()
    fit(f"resume={run_id}", "strategy.replicas=2")
    text = "from step 40 on CPU:0, CPU:1 instead of CPU:0: equal to rounding only"
    assert f"resumed {text}" in capsys.readouterr().out
    assert store.recorded(run_id).tags["resumed/devices/40"].startswith(text)
    one, two = (store.recorded(r).metrics for r in (whole, run_id))
    assert two["train/loss"] == pytest.approx(one["train/loss"], rel=1e-5)
    assert two["test/loss"] == pytest.approx(one["test/loss"], rel=1e-5)


@pytest.mark.exhaustive
def test_finished_run_is_extended_by_a_longer_duration_and_by_nothing_else(
    fit, whole, store
) -> None:
    """Windows of 7 steps and the end at 40: the window that the end cuts stays open."""
    run_id = fit(*SHORT[:3], "trainer.duration=40 steps", *SHORT[4:]).run_id
    with pytest.raises(ConfigError) as caught:
        fit(f"resume={run_id}", "optimizer.learning_rate=1e-4")
    assert f"run {run_id} is finished. To train it further give a longer trainer" in str(
        caught.value
    )
    assert "optimizer.learning_rate=1e-4 alone does not." in str(caught.value)
    assert fit(f"resume={run_id}", "trainer.duration=60 steps").run_id == run_id
    found = compare(store, whole, run_id)
    at_its_first_end = {
        "train/loss",
        "train/accuracy",
        "train/gradient_norm",
        "train/learning_rate",
    }
    tested = {"test/loss", "test/accuracy"}  # at 40 or the best before, and once more
    assert (found.hashes, found.lost, found.duplicate, found.differing) == (0, 0, 0, 0)
    assert len(at_its_first_end) <= found.additional <= len(at_its_first_end | tested)


def test_second_signal_stops_at_once_without_saving(command, tmp_path: Path) -> None:
    """Both come in one call into the graph, of many seconds, which no handler interrupts."""
    process = command(
        "train",
        *SHORT[:3],
        "trainer.duration=100000000 steps",
        "trainer.evaluate_every=100000000 steps",
        "trainer.checkpoint_every=100000000 steps",
        "trainer.log_every=1000000 steps",
        "trainer.steps_per_call=1000000",
        "trainer.stop_within=600",
        "tracking.system_metrics=false",
        cwd=tmp_path,
    )
    for line in process.stdout:
        if re.match(r"step \d+/100000000 ", line):  # at the end of a call; the next is longer
            break
    else:
        raise AssertionError(process.stderr.read())
    before = _processor_seconds(process.pid)
    while _processor_seconds(process.pid) < before + 0.5:  # well in the call
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    # The second would be the same one still.
    while _signals(process.pid, "ShdPnd") >> (signal.SIGINT - 1) & 1:
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    told = r"stopped by SIGINT at once, without saving; go on with: resume=(\w{32})"
    (run_id,) = re.findall(told, out)
    assert out.splitlines()[-1] == f"run_id={run_id} status=KILLED"
    store = tracking.open_store(Tracking(root=str(tmp_path / "mlruns")))
    assert store.recorded(run_id).status == "KILLED"
    (folder,) = (tmp_path / "mlruns" / "work").glob("*/checkpoints")
    assert [path.name for path in folder.iterdir()] == ["step-00000000"]


def test_second_signal_while_a_run_is_ended_leaves_it_ended(
    fit, store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It comes when all is saved and the rest is being delivered, which it would cut off."""
    from pipeline.recording import Recorder
    from pipeline.run_checkpoints import RunCheckpoints

    show, close, signalled = Recorder.show, RunCheckpoints.close, []

    def show_and_signal(self: Any, *arguments: Any) -> None:
        show(self, *arguments)
        if not signalled:
            signalled.append(os.kill(os.getpid(), signal.SIGINT))

    def close_and_signal(self: Any, **options: Any) -> None:
        signalled.append(os.kill(os.getpid(), signal.SIGINT))
        close(self, **options)

    monkeypatch.setattr(Recorder, "show", show_and_signal)
    monkeypatch.setattr(RunCheckpoints, "close", close_and_signal)
    with pytest.raises(SystemExit) as ended:
        fit(*SHORT[:3], "trainer.duration=1000000 steps")
    assert (ended.value.code, len(signalled)) == (130, 2)
    last = capsys.readouterr().out.splitlines()[-1]
    (run_id,) = re.findall(r"^run_id=(\w{32}) status=KILLED$", last)
    assert store.recorded(run_id).status == "KILLED"


def test_a_signal_as_a_run_is_made_leaves_none_running(
    fit, store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.tracking.store import Store

    create, made = Store.create_run, []

    def create_and_signal(self: Any, *arguments: Any) -> str:
        made.append(create(self, *arguments))
        os.kill(os.getpid(), signal.SIGTERM)
        return made[-1]

    monkeypatch.setattr(Store, "create_run", create_and_signal)
    with pytest.raises(SystemExit) as ended:
        fit(*SHORT)
    assert ended.value.code == 143
    assert store.recorded(made[0]).status == "KILLED"


def test_a_signal_before_there_is_a_run_says_so(command, tmp_path: Path) -> None:
    """It comes while another process holds the store's lock, which training waits for."""
    (tmp_path / "mlruns").mkdir()
    with FileLock(tmp_path / "mlruns" / ".lock"):
        process = command("train", *SHORT[:3], cwd=tmp_path)
        while not _signals(process.pid, "SigCgt") >> (signal.SIGTERM - 1) & 1:
            time.sleep(0.001)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
    assert (process.returncode, err) == (130, "stopped by SIGINT before there was a run\n")
    assert out == ""


def _processor_seconds(pid: int) -> float:
    """That a process has used so far, in all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _signals(pid: int, which: str) -> int:
    """A set of signals of a process: ``ShdPnd``, those that wait; ``SigCgt``, those it handles."""
    status = Path(f"/proc/{pid}/status").read_text()
    (found,) = re.findall(rf"^{which}:\s+(\w+)", status, re.MULTILINE)
    return int(found, 16)


# SIGKILL ---------------------------------------------------------------------------------------


def _killed_ends_as(runner, fit, store, root: Path, name: str, moments: tuple[str, ...]) -> None:
    overrides = (*killing.CONFIGURATIONS[name], *killing.BASE)
    expected = fit(*overrides).run_id
    killed = killing.kill_until_finished(runner, root, overrides, moments, random.Random(name))
    assert killed.kills == list(moments)
    assert compare(store, expected, killed.run_id) == Difference()


@pytest.mark.parametrize(
    ("name", "moments"),
    [
        ("convolution, BatchNorm, dropout", ("in a checkpoint write", "in an upload")),
        pytest.param("SelfTraining", ("in the export of the model",), marks=pytest.mark.exhaustive),
    ],
)
def test_killed_run_ends_bit_for_bit_as_the_uninterrupted_one(
    runner, fit, store, root: Path, name: str, moments: tuple[str, ...]
) -> None:
    _killed_ends_as(runner, fit, store, root, name, moments)


@pytest.mark.exhaustive
def test_killed_at_every_kind_of_moment(runner, fit, store, root: Path) -> None:
    """One configuration: experiments/reliability does it with all of them."""
    _killed_ends_as(runner, fit, store, root, "dense", (*killing.MOMENTS,))


@pytest.mark.exhaustive
def test_killed_at_twenty_random_moments(runner, fit, store, root: Path) -> None:
    """In a step, an evaluation, a save, a start …: where, only the clock decides."""
    random_numbers = random.Random(20)
    configurations = itertools.cycle(["dense", "accumulation, moving average", "2 replicas"])
    expected: dict[str, str] = {}
    kills = 0
    while kills < 20:
        name = next(configurations)
        overrides = (*killing.CONFIGURATIONS[name], *killing.BASE)
        expected[name] = expected.get(name) or fit(*overrides).run_id
        moments = [killing.ANY_TIME] * min(5, 20 - kills)
        killed = killing.kill_until_finished(runner, root, overrides, moments, random_numbers)
        assert compare(store, expected[name], killed.run_id) == Difference(), name
        kills += len(killed.kills)


# What is learnt of the training split ----------------------------------------------------------


def test_what_preprocessing_and_the_task_have_learnt_is_resumed(
    fit, store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The resumed process takes it from the checkpoint, whatever it would learn itself."""
    from pipeline.data.preprocess import Standardize
    from pipeline.recording import Recorder

    words = (
        *("dataset=diabetes", "task=regression", "task.standardize=true", "model=mlp"),
        *("model.layers.hidden.units=4", "trainer.compile=off", "trainer.duration=12 steps"),
        *("trainer.evaluate_every=4 steps", "trainer.checkpoint_every=4 steps"),
        "trainer.checkpoint_seconds=0",
    )
    expected = fit(*words).run_id
    show = Recorder.show

    def die(self: Recorder, step: int, metrics: dict[str, float]) -> None:
        show(self, step, metrics)
        if step > 4:
            raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(Recorder, "show", die)
        with pytest.raises(Crash):
            fit(*words)
    run_id = store.latest()
    with monkeypatch.context() as patch:
        patch.setattr(
            Standardize, "fit", lambda self, batches: None
        )  # it would have learnt nothing
        assert fit(f"resume={run_id}").run_id == run_id
    assert compare(store, expected, run_id) == Difference()
    digests = [
        {k: v for k, v in store.recorded(i).tags.items() if k.startswith("sha256/")}
        for i in (expected, run_id)
    ]
    assert digests[0] == digests[1]
