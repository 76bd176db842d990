"""Resumed runs: killed anywhere, damaged checkpoints, full disks, other devices, longer ones."""

from __future__ import annotations

import errno
import itertools
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import killing
import pytest
from comparing import Difference, compare

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
