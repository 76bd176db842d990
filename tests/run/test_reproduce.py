"""Recorded runs that are run again: the verdict, what differs before it, exit codes, worktrees."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline import reproduce
from pipeline.errors import DataError, StoreError, TrainingError

pytestmark = pytest.mark.slow  # whole runs or processes; the quick tier has their parts

SHORT = (
    "+experiment=digits",
    "trainer.duration=2 epochs",
    "trainer.log_every=6 steps",
    "model.layers.hidden.units=16",
)
LAYER = """\
import layers

FACTOR = 1.0


class Scale(layers.Layer):
    def call(self, x, training):
        return x * FACTOR
"""
SCALED = ("+model.layers.scale._target_=mine.Scale", "trusted_packages=[mine]")


def git(folder: Path, *arguments: str) -> str:
    names = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_CONFIG_GLOBAL": os.devnull}
    names |= {"GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
    done = subprocess.run(
        ["git", *arguments], cwd=folder, check=True, capture_output=True, env=os.environ | names
    )
    return done.stdout.decode()


@pytest.fixture(scope="module", autouse=True)
def repository(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The user's repository, with a layer of theirs; the current folder of all runs here."""
    folder = tmp_path_factory.mktemp("project")
    git(folder, "init", "-q")
    (folder / "mine.py").write_text(LAYER)
    (folder / ".gitignore").write_text("__pycache__\n")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "first")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(folder)
        yield folder


@pytest.fixture
def again(root: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """``again(run_id, "--check")``: the verb in this process; exit code and standard output."""

    def call(*words: str) -> tuple[int, str]:
        capsys.readouterr()
        code = reproduce.main([*words, f"tracking.root={root}", "tracking.system_metrics=false"])
        return code, capsys.readouterr().out

    return call


@pytest.fixture(scope="module")
def recorded(fit) -> str:
    return fit(*SHORT, "tracking.run_name=first", "tracking.experiment=study").run_id


@pytest.fixture
def edit(store) -> Callable[..., None]:
    """Changes what the store holds of runs, as nobody should."""

    def execute(statement: str, *values: Any) -> None:
        with closing(sqlite3.connect(store.location.database)) as connection, connection:
            assert connection.execute(statement, values).rowcount > 0

    return execute


def test_a_run_is_repeated_bit_for_bit_and_linked(recorded, again, store) -> None:
    code, out = again(recorded, "--check")
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == f"reproduces run {recorded} (first, FINISHED)"
    assert lines[1] == "the surroundings are those of the record"
    assert "step 36/36" in out
    verdict = lines.index("verdict: bit-identical")
    assert lines[verdict + 1] == (
        "compared: 32 points of 9 metrics; the weights have the same SHA-256; speed/* and system/* "
        "measure time and are left out"
    )
    last = rf"run_id=(\w{{32}}) reproduces={recorded} verdict=bit-identical"
    new_id = re.fullmatch(last, lines[-1])[1]  # type: ignore[index]
    new = store.recorded(new_id)
    assert new_id != recorded
    assert (new.name, new.experiment) == (f"reproduces first {recorded[:8]}", "study")
    assert (new.tags["reproduces"], new.tags["verdict"]) == (recorded, "bit-identical")
    assert store.text(new_id, "verdict.txt").splitlines() == lines[verdict:-1]
    assert "verdict" not in store.recorded(recorded).tags


@pytest.mark.exhaustive
def test_two_replicas_are_equal_to_a_stated_tolerance(recorded, again, store) -> None:
    code, out = again(recorded, "--check", "strategy.replicas=2")
    assert code == 1
    assert (
        "not as recorded:\n  strategy.replicas: null -> 2\n  devices: CPU:0 -> CPU:0, CPU:1\n"
        in out
    )
    stated = re.search(r"^verdict: equal to (\d\.\de-\d\d)$", out, re.MULTILINE)
    assert stated is not None
    assert 0 < float(stated[1]) < 1e-4
    assert "within the tolerance of 0.001: equal but for rounding\n" in out
    assert "the weights have another SHA-256" in out
    assert "not as recorded: strategy.replicas, devices\n" in out
    newest = store.tagged("reproduces", recorded)[0]
    assert store.recorded(newest).tags["verdict"] == f"equal to {stated[1]}"
    assert store.recorded(newest).params["strategy.replicas"] == "2"


def test_a_changed_point_and_other_data_are_told(fit, again, store, edit) -> None:
    run = fit(*SHORT).run_id
    loss = {p.step: p.value for p in store.history(run, "train/loss")}
    change = "UPDATE metrics SET value = ? WHERE run_uuid = ? AND key = 'train/loss' AND step = 12"
    edit(change, loss[12] + 1, run)
    store.send_tags(run, {"digest/test": "0" * 64, "mlflow.source.git.commit": "c" * 40})
    with pytest.raises(
        DataError, match="the data is not the recorded data, .* go on with --anyway"
    ):
        again(run)
    assert store.tagged("reproduces", run) == []  # refused before there is a run

    code, out = again(run, "--anyway", "--check")
    assert code == 1
    assert "\n  commit: cccccccccccc -> " in out
    assert "\n  data digest of test: 000000000000 -> " in out
    assert "\nverdict: different from step 12 of train/loss on\n" in out
    was, now = f"{loss[12] + 1:.9g}", f"{loss[12]:.9g}"
    first = f"train/loss at step 12: {was} recorded, {now} now"
    assert f"\nfirst beyond the tolerance of 0.001: {first}\n" in out
    assert f" ({first})\nnot as recorded: commit, data digest of test\n" in out


@pytest.mark.exhaustive
def test_another_seed_in_the_recorded_config_is_different_from_the_first_point_on(
    fit, again, store, tmp_path: Path
) -> None:
    run = fit(*SHORT).run_id
    file = tmp_path / "config.yaml"
    file.write_text(store.text(run, "config.yaml").replace("seed: 0\n", "seed: 5\n"))
    store.send_file(run, file, None)
    code, out = again(run)
    assert code == 0  # without --check the verdict is no failure
    assert re.search(r"^verdict: different from step 6 of train/\w+ on$", out, re.MULTILINE)
    assert "\nnot as recorded: nothing that a record knows of\n" in out


@pytest.mark.exhaustive
def test_a_killed_record_is_compared_as_far_as_it_goes(fit, again, edit) -> None:
    run = fit(*SHORT).run_id
    edit("UPDATE runs SET status = 'KILLED' WHERE run_uuid = ?", run)
    edit("DELETE FROM metrics WHERE run_uuid = ? AND step > 18", run)
    edit("DELETE FROM metrics WHERE run_uuid = ? AND step = 18 AND key LIKE 'val/%'", run)
    edit("DELETE FROM tags WHERE run_uuid = ? AND key LIKE 'sha256/%'", run)
    code, out = again(run, "--check")
    assert code == 0
    assert out.startswith(f"reproduces run {run} ({SHORT[0].partition('=')[2]} ")
    assert (
        "verdict: bit-identical\ncompared: 13 points of 5 metrics; the record has no SHA-256" in out
    )
    assert "\nthe record is KILLED and is compared as far as it goes; this run FINISHED\n" in out


@pytest.mark.exhaustive
def test_a_failure_is_reproduced_as_well(fit, again, store) -> None:
    broken = ("optimizer=sgd", "optimizer.learning_rate=1e30", "tracking.experiment=failures")
    with pytest.raises(TrainingError):
        fit(*SHORT, *broken)
    run = store.latest("failures")
    code, out = again(run, "--check")
    assert code == 0
    assert "\nboth failed with pipeline.errors.TrainingError: training is not finite at step" in out
    assert store.recorded(store.tagged("reproduces", run)[0]).status == "FAILED"


@pytest.mark.exhaustive
def test_a_fault_of_the_training_ends_in_a_sentence(recorded, again, monkeypatch, capsys) -> None:
    def fail(*_: object) -> None:
        raise KeyError("lost")

    monkeypatch.setattr(reproduce, "fit", fail)
    with pytest.raises(TrainingError, match="stopped by KeyError: 'lost'; the traceback above"):
        again(recorded)
    assert "KeyError: 'lost'" in capsys.readouterr().err


@pytest.mark.exhaustive
def test_there_is_no_verdict_on_a_run_of_which_points_are_still_to_come(
    recorded, again, monkeypatch, store
) -> None:
    waiting = store.create_run("default", None, {})
    monkeypatch.setattr(reproduce, "fit", lambda *_: SimpleNamespace(run_id=waiting))
    with pytest.raises(StoreError, match=f"Run {waiting} has ended, but not all of it has reached"):
        again(recorded)


@pytest.mark.exhaustive
def test_a_run_that_gives_up_determinism_says_so(fit, store, recorded, capsys) -> None:
    run = fit(*SHORT, "trainer.duration=1 epoch", "trainer.deterministic=false").run_id
    said = "trainer.deterministic=false: operations need not be bit-reproducible; another run of"
    assert f"\n{said} this config may come out different by rounding\n" in capsys.readouterr().out
    assert store.recorded(run).tags["deterministic"] == "false"
    assert store.recorded(recorded).tags["deterministic"] == "true"


@pytest.fixture(scope="module")
def patched(fit, repository: Path) -> Iterator[str]:
    """A run of code that was not committed, which has changed since."""
    (repository / "mine.py").write_text(LAYER.replace("1.0", "2.0"))
    run = fit(*SHORT, *SCALED).run_id
    (repository / "mine.py").write_text(LAYER.replace("1.0", "3.0"))
    yield run
    git(repository, "checkout", "-q", ".")


def _worktrees(repository: Path) -> int:
    return len(git(repository, "worktree", "list").splitlines()) - 1


@pytest.mark.exhaustive
def test_at_its_commit_with_its_patch_a_run_is_identical(
    patched, command, repository: Path, root: Path
) -> None:
    words = (patched, "--check", "--at-commit", f"tracking.root={os.path.relpath(root)}", SCALED[1])
    process = command("reproduce", *words, cwd=repository)
    out, err = process.communicate(timeout=240)
    assert (process.returncode, err) == (0, "")
    commit = git(repository, "rev-parse", "HEAD")[:12]
    assert out.startswith(f"at commit {commit}, in ")
    assert "\nthe surroundings are those of the record\n" in out
    assert "\nverdict: bit-identical\n" in out
    assert _worktrees(repository) == 0
    assert not Path(out.splitlines()[0].partition(", in ")[2]).exists()


@pytest.mark.exhaustive
def test_with_the_code_of_today_it_is_not(patched, command, repository: Path, root: Path) -> None:
    words = (patched, "--check", f"tracking.root={root}", SCALED[1])
    process = command("reproduce", *words, cwd=repository)
    out, err = process.communicate(timeout=240)
    assert (process.returncode, err) == (1, "")
    assert re.search(r"^  uncommitted patch: 1 file \(\w{8}\) -> 1 file \(\w{8}\)$", out, re.M)
    assert re.search(r"^verdict: different from step 6 of train/\w+ on$", out, re.M)


@pytest.mark.exhaustive
def test_ctrl_c_at_a_commit_ends_the_run_as_killed_and_removes_the_worktree(
    patched, command, repository: Path, root: Path, store
) -> None:
    words = (patched, "--at-commit", "trainer.duration=40000 epochs", SCALED[1])
    process = command("reproduce", *words, f"tracking.root={root}", cwd=repository)
    for line in process.stdout:
        if line.startswith("step "):
            break
    assert _worktrees(repository) == 1
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    killed = re.search(r"run_id=(\w+) status=KILLED", out)
    assert killed is not None
    assert store.recorded(killed[1]).status == "KILLED"
    assert store.recorded(killed[1]).tags["reproduces"] == patched
    assert _worktrees(repository) == 0
