"""A commit beside the checkout: what lies there, what is left afterwards, what git refuses."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.errors import ConfigError
from pipeline.signals import StopSignals
from pipeline.worktree import checked_out, counterpart, repository_with, run_in, search_path

PROJECT = Path(__file__).parents[1]
WHO = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_CONFIG_GLOBAL": os.devnull}
WHO |= {"GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=folder, check=True, capture_output=True, env={**os.environ, **WHO}
    )
    return done.stdout.decode()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One commit, ``code.py`` holding 1; then the file is changed to 3. Temporary files beside."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    top = tmp_path / "project"
    (top / "inner").mkdir(parents=True)
    git(top, "init", "-q", "-b", "trunk")
    (top / "code.py").write_text("x = 1\n")
    (top / "inner" / "more.py").write_text("")
    git(top, "add", ".")
    git(top, "commit", "-q", "-m", "first")
    (top / "code.py").write_text("x = 3\n")
    return top


@pytest.fixture
def commit(repository: Path) -> str:
    return git(repository, "rev-parse", "HEAD").strip()


@pytest.fixture
def patch(repository: Path, tmp_path: Path) -> Path:
    """Changes ``code.py`` to hold 2 and adds ``new.py``."""
    before = (repository / "code.py").read_text()
    (repository / "code.py").write_text("x = 2\n")
    (repository / "new.py").write_text("y = 5\n")
    git(repository, "add", "new.py")
    file = tmp_path / "git.patch"
    file.write_text(git(repository, "diff", "HEAD"))
    git(repository, "rm", "-q", "--force", "new.py")
    (repository / "code.py").write_text(before)
    return file


def leftovers(repository: Path) -> tuple[list[Path], list[str]]:
    """Temporary folders, and the worktrees that git knows beside the checkout itself."""
    return [*(repository.parent / "tmp").iterdir()], git(repository, "worktree", "list").split(
        "\n"
    )[1:-1]


def test_the_commit_with_its_patch_lies_beside_the_untouched_checkout(
    repository: Path, commit: str, patch: Path
) -> None:
    with checked_out(repository, commit, patch) as tree:
        assert (tree / "code.py").read_text() == "x = 2\n"
        assert (tree / "new.py").read_text() == "y = 5\n"
        assert git(tree, "diff", "HEAD") == patch.read_text()  # recorded again it is the same
        assert (repository / "code.py").read_text() == "x = 3\n"
        assert not (repository / "new.py").exists()
    assert leftovers(repository) == ([], [])
    assert git(repository, "status", "--porcelain") == " M code.py\n"
    assert git(repository, "branch", "--show-current") == "trunk\n"


def test_an_error_inside_leaves_nothing_behind(repository: Path, commit: str) -> None:
    def fail() -> None:
        with checked_out(repository, commit, None) as tree:
            (tree / "made there").write_text("")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert leftovers(repository) == ([], [])


def test_a_patch_that_does_not_apply_is_told_in_words_of_gits(
    repository: Path, commit: str, patch: Path
) -> None:
    patch.write_text(patch.read_text().replace("-x = 1", "-x = 7"))
    with pytest.raises(ConfigError) as caught, checked_out(repository, commit, patch):
        pass
    said = f"the recorded patch does not apply to commit {commit[:12]}: code.py: patch does not"
    assert str(caught.value).startswith(said)
    assert leftovers(repository) == ([], [])


def test_a_commit_that_is_not_there_is_named_with_the_repository(repository: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        repository_with("f" * 40, [repository / "inner"])
    assert str(caught.value) == (
        f"commit ffffffffffff is not in {repository}. `git fetch` it, or go to a clone that has it."
    )


def test_no_repository_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(ConfigError, match="is not in a git repository, so commit ffffffffffff"):
        repository_with("f" * 40, [tmp_path])


def test_without_git_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match="git is not installed"):
        repository_with("f" * 40, [tmp_path])


def test_the_first_repository_that_has_the_commit_is_taken(
    repository: Path, commit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert repository_with(commit, [tmp_path, repository / "inner"]) == repository


def test_folders_of_the_repository_move_into_the_worktree(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = tmp_path / "tree"
    assert counterpart(repository / "inner", repository, tree) == tree / "inner"
    assert counterpart(tmp_path, repository, tree) == tmp_path
    entries = [str(repository / "inner"), str(tmp_path), str(repository)]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(entries))
    expected = [str(tree), str(tree / "inner"), str(tmp_path)]
    assert search_path(repository, tree).split(os.pathsep) == expected


@pytest.mark.parametrize(("code", "expected"), [("3", 3), ("-9", 137)])
def test_the_exit_code_is_the_commands(tmp_path: Path, code: str, expected: int) -> None:
    program = "import os, sys; n = int(sys.argv[1]); os.kill(os.getpid(), -n) if n < 0 else exit(n)"
    with StopSignals():
        assert run_in(tmp_path, [sys.executable, "-c", program, code], {}) == expected


# Runs a command in a worktree that waits until it is told to stop, and then ends with 130.
_WAITS = """\
import signal, sys, time
def stop(number, frame):
    print("told to stop", flush=True)
signal.signal(int(sys.argv[1]), stop)
print("waits", flush=True)
signal.pause()
time.sleep(0.5)  # for a second one to come
sys.exit(130)
"""
_PARENT = """\
import sys
from pathlib import Path
from pipeline.signals import StopSignals
from pipeline.signals import StopSignals
from pipeline.worktree import checked_out, run_in
with StopSignals(), checked_out(Path(sys.argv[1]), sys.argv[2], None) as tree:
    code = run_in(tree, [sys.executable, "-c", sys.argv[4], sys.argv[3]], {})
sys.exit(code)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_whole_group_comes_once_and_the_worktree_is_removed(
    repository: Path, commit: str, number: signal.Signals
) -> None:
    environment = {"PYTHONPATH": str(PROJECT), "TMPDIR": str(repository.parent / "tmp")}
    process = subprocess.Popen(
        [sys.executable, "-c", _PARENT, str(repository), commit, str(int(number)), _WAITS],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a terminal of its own, so to say
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "waits\n"
    assert len(leftovers(repository)[1]) == 1
    begun = time.monotonic()
    os.killpg(process.pid, number)
    out, _ = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "told to stop\n")
    assert time.monotonic() - begun < 20
    assert leftovers(repository) == ([], [])
