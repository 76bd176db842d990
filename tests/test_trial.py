"""One trial of a sweep: its name, its share of the machine, its process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline import trial_process
from pipeline.errors import ConfigError, TrainingError
from pipeline.trial import share_machine, short


def test_short_names_tell_keys_apart() -> None:
    assert short(["model.layers.hidden.units=64", "seed=1"]) == ["units=64", "seed=1"]
    assert short(["a.first.units=1", "a.second.units=2"]) == ["first.units=1", "second.units=2"]
    assert short(["+sweep.x=a b", "optimizer=adam"]) == ["x=a b", "optimizer=adam"]


def test_workers_share_the_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    monkeypatch.setattr(os, "environ", {"OMP_NUM_THREADS": "5", "CUDA_VISIBLE_DEVICES": "0,1,2,3"})
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    share_machine(3, number=0)
    assert os.environ["TF_NUM_INTRAOP_THREADS"] == "2"
    assert os.environ["OMP_NUM_THREADS"] == "5"  # who sets it means it


@pytest.mark.parametrize(
    ("workers", "number", "visible"),
    [(2, 0, "0,1"), (2, 1, "2,3"), (4, 3, "3"), (8, 5, "1"), (1, 3, "0,1,2,3")],
)
def test_workers_share_the_gpus(
    monkeypatch: pytest.MonkeyPatch, workers: int, number: int, visible: str
) -> None:
    monkeypatch.setattr(os, "environ", {"CUDA_VISIBLE_DEVICES": "0,1,2,3"})
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    share_machine(workers, number)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == visible


def _double(number: Any) -> Any:
    return 2 * number


def _refuse(text: str) -> None:
    raise ConfigError(text)


def _break() -> None:
    raise KeyError("lost")


def _die(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.fixture
def own_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without TensorFlow in it, which takes seconds to import; it finds the functions above."""
    monkeypatch.setattr(trial_process, "_PRELOADED", "pipeline.errors")
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent))  # pytest does not put it there


@pytest.mark.slow
@pytest.mark.usefixtures("own_process")
def test_a_process_answers_with_a_result_or_what_was_wrong(capfd) -> None:
    assert trial_process.call(_double, 21) == 42
    assert trial_process.call(_double, "x" * 200_000) == "x" * 400_000  # more than a pipe holds
    with pytest.raises(ConfigError, match="no such thing"):
        trial_process.call(_refuse, "no such thing")
    with pytest.raises(TrainingError, match="KeyError: 'lost'"):
        trial_process.call(_break)
    err = capfd.readouterr().err
    assert err.startswith("Traceback (most recent call last):")
    assert "in _break" in err
    with pytest.raises(trial_process.Killed, match="killed by SIGKILL"):
        trial_process.call(_die, signal.SIGKILL)
    with pytest.raises(SystemExit) as ended:
        trial_process.call(sys.exit, 143)
    assert ended.value.code == 143
    with pytest.raises(TrainingError, match="its process ended with code 3"):
        trial_process.call(sys.exit, 3)


@pytest.mark.slow
def test_trials_find_loaded_and_frozen_what_they_import() -> None:
    code = (
        "import gc, sys\n"
        "from pipeline.preloaded import MODULES\n"
        "print([m for m in MODULES if m not in sys.modules], gc.get_freeze_count() > 300_000)\n"
    )
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.stdout == "[] True\n", done.stderr
