"""What is printed where, and the exit code: a wrong config, a failing run, a sweep."""

from __future__ import annotations

import atexit
import gc
import logging
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig

from pipeline import cli
from pipeline.errors import ConfigError, StoreError, TrainingError

pytestmark = pytest.mark.slow  # whole runs or processes; the quick tier has their parts

ROOT = Path(__file__).parents[2]


def run(cfg: DictConfig) -> float | None:
    """Stands in for training; the seed says what becomes of it."""
    print(f"trial {cfg.seed}")
    logging.getLogger("noise").info("of a library")
    if cfg.seed == 13:
        raise TrainingError("the loss is not finite in steps 5 to 10")
    if cfg.seed == 14:
        raise KeyError("lost")
    if cfg.seed == 15:
        raise SystemExit(143)
    if cfg.seed == 16:
        raise KeyboardInterrupt
    return float(cfg.seed)


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Runs a command line in this process: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["train", *words])
        code = 0
        try:
            cli.hydra_main("train", run)
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        out, err = capfd.readouterr()
        return code, out, err

    return call


@pytest.fixture
def experiment(tmp_path: Path) -> Callable[[str], list[str]]:
    """Writes an experiment of the user's; returns the words that choose it."""

    def write(text: str) -> list[str]:
        (tmp_path / "own" / "experiment").mkdir(parents=True)
        (tmp_path / "own" / "experiment" / "mine.yaml").write_text(f"# @package _global_\n{text}")
        return ["--config-dir", "own", "+experiment=mine"]

    return write


def test_a_run_prints_its_own_lines_and_nothing_else(command, tmp_path: Path) -> None:
    assert command("seed=3") == (0, "trial 3\n", "")
    (folder,) = (tmp_path / "mlruns" / "hydra").glob("*/*")
    assert (folder / ".hydra" / "overrides.yaml").read_text() == "- seed=3\n"


def test_a_wrong_config_exits_with_2_before_anything_runs(command, tmp_path: Path) -> None:
    code, out, err = command("trainer.bach_size=3")
    assert (code, out) == (2, "")
    assert err.startswith("error: trainer.bach_size: there is no such key. Did you mean 'trainer.b")
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_place_of_the_folder_of_runs_is_named(command, tmp_path: Path) -> None:
    (tmp_path / "mlruns").write_text("")
    code, out, err = command("seed=3")
    assert (code, out) == (2, "")
    assert err.startswith("error: mlruns/hydra/")
    assert err.endswith("yours to use; tracking.root=… sets another for runs\n")


def test_a_process_ends_without_a_last_look_at_all_objects(
    command, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_exit: list[object] = []
    monkeypatch.setattr(atexit, "register", at_exit.append)
    command("seed=3")
    monkeypatch.setattr(sys, "argv", ["prepare"])
    with pytest.raises(SystemExit):
        cli.verb(lambda overrides: 0, None)
    assert at_exit == [gc.freeze, gc.freeze]


def test_errors_stay_ours_where_hydra_is_asked(command) -> None:
    code, out, err = command("--cfg", "job", "dataset=minst")
    assert (code, out) == (2, "")
    assert err.startswith("error: dataset=minst: there is no dataset 'minst'. Did you mean 'mnist'")
    assert err.count("\n") == 1


def test_a_failing_run_says_why_and_exits_with_its_code(command) -> None:
    assert command("seed=13") == (
        1,
        "trial 13\n",
        "error: the loss is not finite in steps 5 to 10\n",
    )


def test_a_fault_ends_with_a_traceback_and_a_sentence(command) -> None:
    code, _, err = command("seed=14")
    assert code == 1
    assert err.startswith("Traceback (most recent call last):\n")
    assert "hydra/" not in err
    last = err.rstrip().split("\n")[-1]
    assert last == "error: stopped by KeyError: 'lost'; the traceback above says where"


def test_an_exit_code_of_the_run_passes(command) -> None:
    assert command("seed=15") == (143, "trial 15\n", "")


def test_an_interrupt_is_130(command) -> None:
    assert command("seed=16") == (130, "trial 16\n", "interrupted\n")


def test_in_a_sweep_the_other_trials_go_on(command) -> None:
    code, out, err = command("-m", "seed=1,13,14,2")
    assert code == 1
    assert out == "trial 1\ntrial 13\ntrial 14\ntrial 2\n"
    assert err.endswith(
        "error: 2 of 4 trials failed:\n"
        "  trial 2: seed=13: the loss is not finite in steps 5 to 10\n"
        "  trial 3: seed=14: KeyError: 'lost'\n"
    )


def test_a_bad_value_in_a_grid_is_found_before_the_first_trial(command) -> None:
    code, out, err = command("-m", "seed=1,2", "optimizer.learning_rate=1e-2,abc")
    assert (code, out) == (2, "")
    assert err == (
        "error: optimizer.learning_rate: the text 'abc' is given; a number is expected "
        "(in the trial with optimizer.learning_rate=abc)\n"
    )


def test_flags_may_stand_between_overrides(command) -> None:
    assert command("trainer.accumulate=2", "-m", "seed=1,2") == (0, "trial 1\ntrial 2\n", "")


def test_a_sweep_in_an_experiment_file_runs(command, experiment) -> None:
    words = experiment("hydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n      seed: 4,5\n")
    assert command(*words) == (0, "trial 4\ntrial 5\n", "")


def test_a_sweep_in_a_file_cannot_give_trust(command, experiment) -> None:
    words = experiment(
        "hydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n      trusted_packages: '[os]'\n"
    )
    code, out, err = command(*words)
    assert (code, out) == (2, "")
    assert "trusted_packages: a sweep in a config file gives trust to os" in err


def test_callbacks_in_a_file_are_not_called(command, experiment, tmp_path: Path) -> None:
    mark = tmp_path / "called"
    words = experiment(f"hydra:\n  callbacks:\n    x: {{_target_: os.mkdir, path: '{mark}'}}\n")
    code, _, err = command(*words)
    assert code == 2
    assert "hydra.callbacks.x._target_: 'os.mkdir' is not in a trusted package" in err
    assert not mark.exists()


def test_help_shows_groups_and_examples(command) -> None:
    code, out, err = command("--help")
    assert (code, err) == (0, "")
    assert out.startswith("What is printed where")  # the verb's own docstring
    assert "   model      = autoencoder, cnn, cnn_deep, cnn_strided, forecaster, gru," in out
    assert "  +experiment = breast_cancer, diabetes, digits" in out
    assert out.count("python -m pipeline.train") == 6


def test_the_config_can_be_shown(command) -> None:
    code, out, _ = command("--cfg", "job", "--package", "objective", "objective.mode=min")
    assert (code, out) == (0, "# @package objective\nmetric: val/accuracy\nmode: min\n")


def test_reporting_turns_errors_into_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    def fail(error: Exception) -> int:
        raise error

    assert cli.reporting(lambda: None) == 0
    assert cli.reporting(lambda: 7) == 7
    for error, code in ((ConfigError("a"), 2), (StoreError("b"), 2), (TrainingError("c"), 1)):
        assert cli.reporting(lambda error=error: fail(error)) == code  # type: ignore[misc]
        assert capsys.readouterr().err == f"error: {error}\n"
    with pytest.raises(ZeroDivisionError):
        cli.reporting(lambda: fail(ZeroDivisionError()))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainer.bach_size=3", "Did you mean 'trainer.batch_size'"),
        ("dataset=minst", "Did you mean 'mnist' or"),
        ("model.layers.hidden._target_=layers.Dens", "layers has no 'Dens'. Did you mean 'Dense'?"),
        ("+model.layers.hidden.unit=3", "Dense takes no 'unit'. Did you mean 'units'?"),
        ("trainer.duration=30", "trainer.duration: '30' has no unit; write '30 epochs'"),
        ("trainer.profile=-1", "trainer.profile: -1 is out of range"),
        ("tracking.root=/dev/null/runs", "Not a directory; its folder must be there"),
    ],
)
def test_a_wrong_config_is_refused_in_two_seconds_without_tensorflow(
    override: str, message: str, tmp_path: Path
) -> None:
    code = (
        "import atexit, runpy, sys\n"
        "heavy = {'tensorflow', 'keras', 'mlflow', 'tensorflow_datasets', 'numpy', 'pandas'}\n"
        "atexit.register(lambda: print(sorted(heavy & set(sys.modules))))\n"
        f"sys.argv = ['train', {override!r}]\n"
        "runpy.run_module('pipeline.train', run_name='__main__')\n"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == "[]\n"  # nothing heavy was imported
    assert list(tmp_path.iterdir()) == []  # and nothing written: no run, no store
    # Processor time, because other work on the machine is not this process's fault.
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert used < 2.0
