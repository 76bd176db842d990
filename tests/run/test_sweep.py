"""Sweeps in processes of their own: the parent run, what is resumed, what is told at the end."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipeline import tracking
from pipeline.config import Tracking
from pipeline.tracking import sweeps

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).parents[2]
SHORT = (
    "+experiment=digits",
    "trainer.duration=2 epochs",
    "trainer.compile=off",
    "trainer.clip_norm=null",
    "tracking.system_metrics=false",
)
# So many steps that a signal comes in the middle, in 2 s or so.
LONG = (
    *SHORT[2:],
    "+experiment=digits",
    "trainer.duration=4000 steps",
    "trainer.evaluate_every=400 steps",
    "trainer.checkpoint_every=400 steps",
    "trainer.checkpoint_seconds=0",
    "schedule=constant",
)


@pytest.fixture
def folder(new_store, tmp_path: Path) -> Path:
    new_store(tmp_path)
    return tmp_path


def _open(folder: Path) -> Any:
    return tracking.open_store(Tracking(root=str(folder / "mlruns")))


def _sweep(out: str) -> tuple[str, str]:
    """The last line: id and status of the parent."""
    (found,) = re.findall(r"^sweep=(\w{32}) status=(\w+)$", out.strip().splitlines()[-1])
    return found


def _trials(folder: Path, parent: str) -> list[sweeps.TrialRun]:
    return sweeps.trials(_open(folder), parent)


def _signal_at(process: Any, line: str, number: int) -> str:
    """Send the signal when standard output has a line that begins so. Returns what came before."""
    seen = ""
    for text in process.stdout:
        seen += text
        if text.startswith(line):
            process.send_signal(number)
            return seen
    raise AssertionError(f"no line {line!r}: {process.stderr.read()}")


@pytest.fixture(scope="module")
def grid(command, new_store, tmp_path_factory: pytest.TempPathFactory):
    """A grid of four, of which one learning rate fails: folder, exit code, output, errors."""
    folder = tmp_path_factory.mktemp("grid")
    new_store(folder)
    words = ("-m", *SHORT, "optimizer.learning_rate=1e-2,1e30", "model.layers.hidden.units=16,24")
    process = command("train", *words, cwd=folder)
    out, err = process.communicate(timeout=300)
    return folder, words, process.returncode, out, err


def test_one_failing_setting_lets_the_others_finish_and_is_told(grid) -> None:
    _, _, code, out, err = grid
    assert code == 1
    assert _sweep(out)[1] == "FAILED"
    told = err[err.index("error: 2 of 4 trials failed:\n") :].splitlines()
    assert told[1].startswith(
        "  trial 3: optimizer.learning_rate=1e+30 model.layers.hidden.units=16: training is not "
    )
    assert len(told) == 3


def test_trials_nest_below_the_parent_and_say_what_differs(grid) -> None:
    folder, words, _, out, _ = grid
    parent = _sweep(out)[0]
    store = _open(folder)
    run = store.recorded(parent)
    assert run.status == "FAILED"
    assert run.name == "sweep digits: learning_rate, units"
    assert json.loads(run.tags["sweep/space"]) == {
        "optimizer.learning_rate": ["0.01", "1e+30"],
        "model.layers.hidden.units": ["16", "24"],
    }
    assert run.metrics["sweep/ended"] == 4
    assert run.metrics["sweep/failed"] == 2
    trials = sorted(_trials(folder, parent), key=lambda trial: trial.number)
    assert [trial.status for trial in trials] == ["FINISHED"] * 2 + ["FAILED"] * 2
    names = [store.recorded(trial.run_id).name for trial in trials]
    assert names[:2] == ["learning_rate=0.01 units=16", "learning_rate=0.01 units=24"]
    best = max(trials[:2], key=lambda trial: trial.metrics["best/val/accuracy"])
    assert run.tags["sweep/best"] == best.run_id
    assert run.tags["sweep/best_overrides"] == best.overrides
    assert run.metrics["best/val/accuracy"] == best.metrics["best/val/accuracy"]
    assert best.run_id[:8] in run.tags["mlflow.note.content"]


def test_tables_and_figures_lie_on_the_parent(grid, tmp_path: Path) -> None:
    folder, _, _, out, _ = grid
    parent = _sweep(out)[0]
    kept = _open(folder).download(parent, "sweep", tmp_path)
    rows = list(csv.DictReader((kept / "trials.csv").open(encoding="utf-8")))
    assert json.loads((kept / "trials.json").read_text())[0]["run_id"] == rows[0]["run_id"]
    by_id = {trial.run_id: trial for trial in _trials(folder, parent)}
    assert len(rows) == len(by_id) == 4
    for row in rows[:2]:
        trial = by_id[row["run_id"]]
        assert float(row["best/val/accuracy"]) == trial.metrics["best/val/accuracy"]
        assert float(row["test/loss"]) == trial.metrics["test/loss"]
        assert row["optimizer.learning_rate"] == "0.01"
    scores = [float(row["best/val/accuracy"]) for row in rows[:2]]
    assert scores == sorted(scores, reverse=True)
    assert [row["status"] for row in rows[2:]] == ["FAILED", "FAILED"]
    for name in ("parallel", "importance"):
        assert (kept / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        page = (kept / f"{name}.html").read_text()
        assert "Plotly.newPlot" in page
        assert not re.search(r"<script[^>]*\ssrc=", page)  # nothing is loaded from elsewhere


def test_the_same_command_goes_on_and_tries_only_what_failed(grid, command) -> None:
    folder, words, _, out, _ = grid
    parent = _sweep(out)[0]
    before = {trial.run_id for trial in _trials(folder, parent)}
    process = command("train", *words, cwd=folder)
    again, _ = process.communicate(timeout=300)
    assert again.startswith(f"goes on with sweep {parent}; finished trials: 2; ")
    assert again.count("status=FINISHED before") == 2
    assert (process.returncode, _sweep(again)) == (1, (parent, "FAILED"))
    fresh = [trial for trial in _trials(folder, parent) if trial.run_id not in before]
    assert [trial.status for trial in fresh] == ["FAILED"] * 2
    assert _open(folder).recorded(parent).status == "FAILED"


@pytest.mark.exhaustive
def test_another_sweep_begins_where_it_is_asked_for(grid, command) -> None:
    folder, words, _, out, _ = grid
    asked = [word.replace("1e-2,1e30", "1e-2") for word in words]
    process = command("train", *asked, "sweep.resume=new", cwd=folder)
    fresh, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert _sweep(fresh)[0] != _sweep(out)[0]
    assert _sweep(fresh)[1] == "FINISHED"
    assert len(_trials(folder, _sweep(fresh)[0])) == 2


def test_a_run_is_no_sweep_to_go_on_with(grid, command) -> None:
    folder, _, _, out, _ = grid
    trial = _trials(folder, _sweep(out)[0])[0].run_id
    process = command("train", f"sweep.resume={trial}", cwd=folder)
    out_, err = process.communicate(timeout=100)
    assert (process.returncode, out_) == (2, "")
    parent = _sweep(out)[0]
    assert err == f"error: Run {trial} is no sweep. It is a trial of sweep {parent}.\n"


@pytest.mark.parametrize(
    "number",
    [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.exhaustive)],
    ids=["ctrl-c", "kill"],
)
def test_a_stopped_sweep_goes_on_in_the_middle_of_its_trial(
    command, fit, store, folder: Path, number: int
) -> None:
    process = command("train", "-m", *LONG, "seed=0,1", cwd=folder)
    seen = _signal_at(process, "trial 1  step ", number)
    out, err = process.communicate(timeout=100)
    (parent,) = re.findall(r"^sweep (\w{32}):", seen, re.MULTILINE)
    if number == signal.SIGINT:
        assert (process.returncode, _sweep(out)) == (130, (parent, "KILLED"))
        assert err == ""
        assert f"go on with: python -m pipeline.train sweep.resume={parent}" in out
        assert _open(folder).recorded(parent).status == "KILLED"

    process = command("train", f"sweep.resume={parent}", cwd=folder)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert _sweep(out) == (parent, "FINISHED")
    trials = sorted(_trials(folder, parent), key=lambda trial: trial.number)
    assert [(trial.number, trial.status) for trial in trials] == [(0, "FINISHED"), (1, "FINISHED")]
    went_on = _open(folder).recorded(trials[0].run_id)
    alone = store.recorded(fit(*LONG, "seed=0").run_id)
    assert went_on.tags["sha256/best"] == alone.tags["sha256/best"]
    assert went_on.tags["sha256/last"] == alone.tags["sha256/last"]


@pytest.mark.exhaustive
def test_trials_that_fall_behind_stop_and_say_why(command, folder: Path, fit, store) -> None:
    words = (
        *SHORT,
        "+sweep=halving",
        "optimizer.learning_rate=1e-2,1e-6,2e-2",
        "schedule=constant",
    )
    process = command("train", "-m", *words, "trainer.duration=10 epochs", cwd=folder)
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    parent, status = _sweep(out)
    assert status == "FINISHED"
    first, *_ = sorted(_trials(folder, parent), key=lambda trial: trial.number)
    (behind,) = [t for t in _trials(folder, parent) if t.overrides.endswith("=1e-06")]
    assert first.pruned is None
    assert behind.number > 0  # sweep.seed says in which order they are run
    assert behind.status == "FINISHED"
    reason = r"at rung 1 of 3 \(step 18 of 180\): val/accuracy 0\.\d+ is number \d of \d, and "
    assert re.match(reason, behind.pruned or "")
    assert f"given up {behind.pruned}" in out
    history = _open(folder).history(behind.run_id, "val/accuracy")
    assert [point.step for point in history] == [18]
    assert behind.metrics["sweep/rung/1"] == history[0].value
    assert not any(key.startswith("test/") for key in behind.metrics)
    assert _open(folder).recorded(parent).metrics["sweep/pruned"] >= 1
    # What it trained until then is what it would have trained alone.
    alone = store.history(
        fit(*SHORT, "optimizer.learning_rate=1e-6", "schedule=constant").run_id, "val/loss"
    )
    assert alone[0].value == _open(folder).history(behind.run_id, "val/loss")[0].value


@pytest.mark.exhaustive
def test_a_search_is_a_sweep_too(command, folder: Path) -> None:
    rate = "optimizer.learning_rate=tag(log,interval(1e-4,1e-1))"
    words = ("+sweep=optuna", "sweep.trials=3", rate, "model.layers.hidden.units=choice(16,24)")
    process = command("train", *SHORT, *words, cwd=folder)
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    parent, status = _sweep(out)
    assert status == "FINISHED"
    trials = _trials(folder, parent)
    rates = {
        float(_open(folder).recorded(t.run_id).params["optimizer.learning_rate"]) for t in trials
    }
    assert len(rates) == 3
    assert all(1e-4 <= rate <= 1e-1 for rate in rates)
    study = (folder / "mlruns" / "studies" / f"{parent}.log").read_text()
    for trial in trials:
        assert str(trial.metrics["best/val/accuracy"])[:12] in study


def _python(*words: str, cwd: Path, tfds_folder: str) -> subprocess.Popen[str]:
    """Not forked from a process that has TensorFlow: workers begin as they do for a user."""
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline.train", *words],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(PROJECT), "TFDS_DATA_DIR": tfds_folder},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.exhaustive
def test_other_numbers_of_devices_get_processes_of_their_own(folder: Path, tfds_folder) -> None:
    process = _python(
        "-m", *SHORT, "strategy.replicas=1,2", "seed=3", cwd=folder, tfds_folder=tfds_folder
    )
    out, err = process.communicate(timeout=200)
    assert (process.returncode, err) == (0, "")
    one, two = sorted(_trials(folder, _sweep(out)[0]), key=lambda trial: trial.number)
    devices = [_open(folder).recorded(t.run_id).tags["devices"] for t in (one, two)]
    assert devices == ["CPU:0", "CPU:0, CPU:1"]
    assert one.metrics["val/loss"] == pytest.approx(two.metrics["val/loss"], abs=1e-5)


def _training(folder: Path) -> psutil.Process:
    """A process that trains; there is one since a line of steps has been seen."""
    pids = [json.loads(f.read_text())["pid"] for f in (folder / "mlruns").rglob("*.alive")]
    return max(map(psutil.Process, pids), key=lambda process: process.create_time())


@pytest.mark.exhaustive
def test_a_trial_whose_process_is_killed_goes_on(folder: Path, command, fit, store) -> None:
    process = command("train", "-m", *LONG, "seed=0,1", cwd=folder)
    for line in process.stdout:
        if "  step " in line:
            break
    _training(folder).kill()
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert err == "warning: trial 1: its process was killed by SIGKILL; it goes on\n"
    parent, status = _sweep(out)
    assert status == "FINISHED"
    trials = sorted(_trials(folder, parent), key=lambda trial: trial.number)
    assert [(t.number, t.status, t.deaths) for t in trials] == [
        (0, "FINISHED", 1),
        (1, "FINISHED", 0),
    ]
    alone = store.recorded(fit(*LONG, "seed=0").run_id)
    assert _open(folder).recorded(trials[0].run_id).tags["sha256/best"] == alone.tags["sha256/best"]


@pytest.mark.exhaustive
def test_joblib_runs_two_at_a_time_and_a_killed_worker_costs_no_trial(
    folder: Path, tfds_folder: str, fit, store
) -> None:
    """The worker takes the other one with it; their trials save, and the sweep goes on."""
    words = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "seed=0,1,2")
    process = _python("-m", *LONG, *words, cwd=folder, tfds_folder=tfds_folder)
    assert process.stdout is not None
    steps: set[str] = set()  # of which trials; one that has made none begins anew
    for line in process.stdout:
        steps |= set(re.findall(r"^(trial \d)  step ", line))
        if len(steps) == 2:
            break
    worker = _training(folder).parent().parent()  # the process between them forks
    assert worker.ppid() == process.pid
    worker.kill()
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "warning: a worker was killed" in err
    parent, status = _sweep(out)
    assert status == "FINISHED"
    trials = sorted(_trials(folder, parent), key=lambda trial: trial.number)
    assert [(trial.number, trial.status) for trial in trials] == [(n, "FINISHED") for n in range(3)]
    alone = store.recorded(fit(*LONG, "seed=0").run_id)
    assert _open(folder).recorded(trials[0].run_id).tags["sha256/best"] == alone.tags["sha256/best"]
