"""Runs in processes of their own: what scripts read, signals, kills, sweeps."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).parents[2]

LONG = (
    "+experiment=digits",
    "trainer.duration=4000 epochs",
    "trainer.evaluate_every=20 epochs",
    "trainer.checkpoint_every=20 epochs",
    "trainer.log_every=100 steps",
    "schedule=constant",
    "tracking.system_metrics=false",
)


def _open(folder: Path):
    from pipeline import tracking
    from pipeline.config import Tracking

    return tracking.open_store(Tracking(root=str(folder / "mlruns")))


def _wait_for(process, pattern: str) -> str:
    """The first line of standard output that matches; the process must write one."""
    for line in process.stdout:
        if re.search(pattern, line):
            return line
    raise AssertionError(f"no line like {pattern!r}: {process.stderr.read()}")


def _wait_for_checkpoint(process, folder: Path, step: int) -> None:
    """Until the run that is being trained in ``folder`` has saved ``step`` or a later one."""
    while process.poll() is None:
        saved = (folder / "mlruns" / "work").glob("*/checkpoints/step-*")
        if any(int(path.name.split("-")[1]) >= step for path in saved):
            return
        time.sleep(0.005)
    raise AssertionError(f"ended before step {step}: {process.stderr.read()}")


# How often Python has looked through all its objects for cycles, written down at the process's end.
COUNTING = """
import atexit, gc, pathlib
note = pathlib.Path(__file__).with_name("searches")
atexit.register(lambda: note.write_text(str(gc.get_stats()[-1]["collections"])))
"""


@pytest.fixture(scope="module")
def counting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose ``sitecustomize`` Python loads first."""
    folder = tmp_path_factory.mktemp("counting")
    (folder / "sitecustomize.py").write_text(COUNTING)
    return folder


@pytest.fixture(scope="module")
def finished(tfds_folder: str, counting: Path, tmp_path_factory: pytest.TempPathFactory):
    """The first experiment, whole: folder, exit code, output, error output. Not forked."""
    folder = tmp_path_factory.mktemp("finished")
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.train", "+experiment=digits"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": f"{PROJECT}{os.pathsep}{counting}"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    return folder, done.returncode, done.stdout, done.stderr


def test_last_line_is_the_result_and_errors_are_empty(finished) -> None:
    _, code, out, err = finished
    assert code == 0
    assert re.fullmatch(
        r"run_id=[0-9a-f]{32} status=FINISHED best/val/accuracy=0\.\d+ test/accuracy=0\.\d+",
        out.strip().splitlines()[-1],
    )
    assert err == ""


def test_person_sees_what_will_be_done_in_plain_lines(finished) -> None:
    _, _, out, _ = finished
    assert "digits 1.0.0: train 1,167, validation 270, test 360; 8x8x1 uint8, 10 classes" in out
    assert "1 replica(s) on CPU:0" in out
    assert "900 steps of 64 examples, 50 epochs of 18 steps" in out
    assert re.search(r"hidden +Dense +\[batch, 256\] +16,640", out)
    assert re.search(r"step 900/900 .*train/loss \d.*examples/s", out)
    assert "\x1b" not in out


def test_everything_is_kept_below_mlruns(finished) -> None:
    folder, *_ = finished
    assert [path.name for path in folder.iterdir()] == ["mlruns"]
    assert {"mlflow.db", "artifacts"} <= {path.name for path in (folder / "mlruns").iterdir()}


def test_no_time_is_lost_with_looking_for_cycles_in_what_has_been_imported(
    finished, counting: Path
) -> None:
    assert int((counting / "searches").read_text()) <= 1  # eight took a second


def test_system_metrics_are_recorded(finished) -> None:
    folder, _, out, _ = finished
    run_id = re.findall(r"run_id=(\w+)", out)[-1]
    assert any(key.startswith("system/") for key in _open(folder).recorded(run_id).metrics)


@pytest.fixture
def folder(new_store, tmp_path: Path) -> Path:
    """A folder with a store in which there are no runs."""
    new_store(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("number", "code"),
    [
        pytest.param(signal.SIGINT, 130, id="ctrl-c"),
        pytest.param(signal.SIGTERM, 143, id="sigterm", marks=pytest.mark.exhaustive),
    ],
)
def test_signal_saves_ends_as_killed_and_resumes(command, folder: Path, number, code) -> None:
    process = command("train", *LONG, cwd=folder)
    _wait_for_checkpoint(process, folder, 360)
    begun = time.monotonic()
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert time.monotonic() - begun < 15  # trainer.stop_within is 5; the rest is delivery
    assert process.returncode == code, err
    assert "Traceback" not in err
    run_id = re.findall(r"run_id=(\w+) status=KILLED", out)[-1]

    store = _open(folder)
    assert store.recorded(run_id).status == "KILLED"
    if number == signal.SIGTERM:
        return  # what follows is the same
    stopped_at = max(p.step for p in store.history(run_id, "train/loss"))
    assert 0 < stopped_at < 72000

    again = command(
        "train", "resume=latest", f"trainer.duration={stopped_at + 500} steps", cwd=folder
    )
    out, err = again.communicate(timeout=240)
    assert again.returncode == 0, err
    assert f"run_id={run_id} status=FINISHED" in out
    assert re.search(r"goes on at step [1-9]", out)
    assert _open(folder).recorded(run_id).status == "FINISHED"


@pytest.mark.exhaustive
def test_run_killed_twice_ends_like_one_that_was_not(command, fit, store, folder: Path) -> None:
    """SIGKILL in training, resumed by id: the same weights, every point exactly once."""
    short = (*LONG[:1], "trainer.duration=120 epochs", *LONG[2:])
    expected = fit(*short).run_id  # in this process: another one, and never stopped

    process = command("train", *short, "trainer.steps_per_call=20", cwd=folder)
    killed = _wait_for(process, r"^run +(\w+)").split()[1]
    _wait_for_checkpoint(process, folder, 360)
    process.kill()
    process.wait(timeout=20)
    process = command("train", f"resume={killed}", cwd=folder)
    _wait_for_checkpoint(process, folder, 1080)
    process.kill()
    process.wait(timeout=20)
    process = command("train", f"resume={killed}", cwd=folder)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert f"run_id={killed} status=FINISHED" in out

    after_kills = _open(folder)
    one, other = store.recorded(expected), after_kills.recorded(killed)
    assert other.tags["sha256/last"] == one.tags["sha256/last"]
    assert other.tags["sha256/best"] == one.tags["sha256/best"]
    for key in (k for k in one.metrics if not k.startswith(("speed/", "system/"))):
        a = [(p.step, p.value) for p in store.history(expected, key)]
        b = [(p.step, p.value) for p in after_kills.history(killed, key)]
        assert b == a, key


def test_grid_runs_every_trial_bit_identical_to_the_same_config_alone(
    command, fit, store, folder: Path
) -> None:
    base = (
        "+experiment=digits",
        "trainer.duration=2 epochs",
        "trainer.compile=off",
        "tracking.system_metrics=false",
    )
    process = command(
        "train", "-m", *base, "optimizer.learning_rate=1e-2,1e-3", "seed=0,1", cwd=folder
    )
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    trials = re.findall(r"run_id=(\w+) status=FINISHED", out)
    assert len(trials) == 4
    single = store.recorded(fit(*base, "optimizer.learning_rate=1e-3", "seed=1").run_id)

    grid = _open(folder)
    twin = grid.recorded(trials[-1])
    assert twin.params["seed"] == "1"
    assert twin.params["optimizer.learning_rate"] == "0.001"
    keys = [k for k in single.metrics if not k.startswith(("speed/", "system/"))]
    assert {k: twin.metrics[k] for k in keys} == {k: single.metrics[k] for k in keys}
    assert twin.tags["sha256/best"] == single.tags["sha256/best"]
    assert len({grid.recorded(t).tags["sha256/best"] for t in trials}) == 4


def test_digits_reaches_the_score_at_its_head(finished) -> None:
    assert float(re.findall(r"test/accuracy=([\d.]+)", finished[2])[-1]) >= 0.97


@pytest.mark.exhaustive
def test_digits_cnn_reaches_the_score_at_its_head(command, folder: Path) -> None:
    process = command("train", "+experiment=digits_cnn", cwd=folder)
    out, err = process.communicate(timeout=400)
    assert process.returncode == 0, err
    assert float(re.findall(r"test/accuracy=([\d.]+)", out)[-1]) >= 0.985


def test_unwritable_store_is_said_before_training(command, tmp_path: Path) -> None:
    (tmp_path / "mlruns").write_text("a file where the folder should be")
    process = command("train", "+experiment=digits", "hydra.run.dir=out", cwd=tmp_path)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 2
    assert err.startswith("error: ")
    assert "mlruns" in err
    assert "step" not in out
