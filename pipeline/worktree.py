"""A commit as it was, beside the checkout: ``git worktree`` for as long as something runs in it.

The user's own files, index and branch are left alone.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import ConfigError
from pipeline.signals import StopSignals

ENDING = 20.0  # seconds a process may take to end before it is killed


def repository_with(commit: str, folders: Sequence[Path]) -> Path:
    """The top folder of the first repository around ``folders`` that holds ``commit``.

    Raises:
        ConfigError: no folder is in a repository, or none of the repositories has the commit.
    """
    found = []
    for folder in folders:
        done = _git(folder, "rev-parse", "--show-toplevel")
        if done.returncode == 0:
            found.append(Path(done.stdout.decode().rstrip("\n")))
    for top in found:
        if _git(top, "cat-file", "-e", f"{commit}^{{commit}}").returncode == 0:
            return top
    if not found:
        raise ConfigError(
            f"{folders[0]} is not in a git repository, so commit {commit[:12]} cannot be checked "
            "out. Go to a clone of the repository that the run was recorded in."
        )
    tops = " and ".join(dict.fromkeys(map(str, found)))
    raise ConfigError(
        f"commit {commit[:12]} is not in {tops}. `git fetch` it, or go to a clone that has it."
    )


@contextmanager
def checked_out(repository: Path, commit: str, patch: Path | None) -> Iterator[Path]:
    """Inside, ``commit`` lies in a temporary folder with ``patch`` applied; removed afterwards,
    also where a signal ends the block (use it inside ``StopSignals``).

    Raises:
        ConfigError: git refuses; its own words are in the text.
    """
    scratch = Path(tempfile.mkdtemp(prefix="worktree-"))
    tree = scratch.resolve() / repository.name
    try:
        # Without the repository's hooks, which were not asked to take part.
        no_hooks = ("-c", f"core.hooksPath={os.devnull}")
        done = _git(
            repository, *no_hooks, "worktree", "add", "--detach", "--quiet", str(tree), commit
        )
        if done.returncode:
            raise ConfigError(f"commit {commit[:12]} cannot be checked out: {_said(done)}")
        if patch is not None and patch.stat().st_size:
            # --index, so that files which the patch adds are tracked here as they were there.
            done = _git(tree, "apply", "--index", "--whitespace=nowarn", str(patch.resolve()))
            if done.returncode:
                raise ConfigError(
                    f"the recorded patch does not apply to commit {commit[:12]}: {_said(done)}"
                )
        yield tree
    finally:
        with _undisturbed():
            _git(repository, "worktree", "remove", "--force", str(tree))
            shutil.rmtree(scratch, ignore_errors=True)


def counterpart(folder: Path, repository: Path, tree: Path) -> Path:
    """Where ``folder`` lies in the worktree; itself where it is outside the repository."""
    folder = folder.resolve()
    if not folder.is_relative_to(repository.resolve()):
        return folder
    return tree / folder.relative_to(repository.resolve())


def search_path(repository: Path, tree: Path) -> str:
    """``PYTHONPATH`` for the worktree: its top, then what is on it now, moved into the worktree."""
    now = [Path(entry) for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    there = [counterpart(entry, repository, tree) for entry in now]
    return os.pathsep.join(dict.fromkeys(map(str, [tree, *there])))


def run_in(folder: Path, command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a command to its end and return its exit code; Ctrl-C and SIGTERM are passed on to it.

    For the main thread, inside ``StopSignals``, which puts the signals' handlers back.
    """
    # A session of its own: a Ctrl-C at the terminal would otherwise reach it twice, and the
    # second one means "stop at once".
    child = subprocess.Popen(
        command, cwd=folder, env={**os.environ, **environment}, start_new_session=True
    )
    try:
        for number in StopSignals.CAUGHT:
            signal.signal(number, lambda number, _: child.send_signal(number))
        code = child.wait()
    finally:
        _end(child)
    return code if code >= 0 else 128 - code


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(ENDING)
        except subprocess.TimeoutExpired:
            child.kill()


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Inside, Ctrl-C and SIGTERM do nothing, in processes that are started neither."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in StopSignals.CAUGHT}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    # Set by a git hook that calls us, these would beat the folder.
    mislead = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
    environment = {k: v for k, v in os.environ.items() if k not in mislead}
    try:
        return subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, env=environment
        )
    except FileNotFoundError:
        raise ConfigError("git is not installed; checking out a commit needs it.") from None


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return lines[-1].removeprefix("fatal: ").removeprefix("error: ") if lines else "no reason given"
