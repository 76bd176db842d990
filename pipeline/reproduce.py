"""``python -m pipeline.reproduce <run id>``: run a recorded config again and say what came of it.

    python -m pipeline.reproduce latest --check
    python -m pipeline.reproduce <run id> --at-commit
    python -m pipeline.reproduce <run id> strategy.replicas=2

The verdict is one of: bit-identical; equal to a relative difference, where the largest one is
within ``tolerance``; different from step N of metric M on. The new run is tagged with it, and with
``reproduces``.

--check      exit with 1 unless the runs are bit-identical
--at-commit  in a git worktree of the recorded commit, with the recorded patch applied
--anyway     go on where the data is not the recorded data

Keys of the recorded config may be changed one by one; ``tracking.…`` and ``trusted_packages=…`` are
always those of this command.
"""

from __future__ import annotations

import dataclasses
import re
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from omegaconf import DictConfig

from pipeline import tracking, worktree
from pipeline.cli import verb
from pipeline.composing import compose
from pipeline.config import Reproduce
from pipeline.console import Console
from pipeline.errors import ConfigError, DataError, TrainingError, UserError, flag
from pipeline.reproducing import Reproduction, config_again, judge, keep
from pipeline.signals import Stopped, StopSignals
from pipeline.train import fit

if TYPE_CHECKING:
    from pipeline.assembly import Assembly
    from pipeline.tracking.changes import Change
    from pipeline.tracking.store import RecordedRun, Store

FLAGS = {"--check": "check=true", "--at-commit": "at_commit=true", "--anyway": "anyway=true"}


def reproduce(config: DictConfig, changes: Sequence[str] = ()) -> Reproduction:
    """Train the config of run ``config.run`` again, as a new run, and compare the two.

    Args:
        config: as ``compose("reproduce", ["run=<id>"])`` returns it.
        changes: single keys of the recorded config, as on the command line.

    Raises:
        UserError: no such run, a config that no longer builds, other data, or a training that
            failed where the record did not.
        SystemExit: stopped by Ctrl-C (130) or SIGTERM (143); the new run is KILLED.
    """
    store, run = _recorded(config)
    again, asked = config_again(store, run, config, changes)
    found: list[Change] = []

    def before(parts: Assembly) -> None:
        from pipeline.tracking.changes import DATA

        found.extend([*asked, *_look_around(store, run, parts)])
        _tell(store, run, found)
        if any(change.what.startswith(DATA) for change in found) and not config.anyway:
            raise DataError(
                "the data is not the recorded data, so the run cannot be reproduced on it. Bring "
                "back the dataset as it was (dataset.data_dir names its folder), or go on with "
                "--anyway."
            )

    known = store.tagged("reproduces", run.run_id)
    try:
        new, failed = fit(again, [f"run={run.run_id}", *changes], before).run_id, False
    except Exception as error:
        started = [i for i in store.tagged("reproduces", run.run_id) if i not in known]
        if run.status != "FAILED" or not started:
            _stop(error)
        new, failed = started[0], True  # as the record did: they can be compared
    return judge(store, run, new, found, failed, config.tolerance)


def _recorded(config: DictConfig) -> tuple[Store, RecordedRun]:
    if config.tracking.kind == "off":
        raise ConfigError("tracking=off keeps no runs: there is none to reproduce.")
    if not config.tolerance >= 0:
        raise ConfigError(f"tolerance: {config.tolerance} is out of range; give a number from 0 on")
    store = _open(config)
    return store, store.recorded(store.latest() if config.run == "latest" else config.run)


def _open(config: DictConfig) -> Store:
    # The experiment may be left open here, but a server wants a name.
    place = config.tracking.copy()
    place.experiment = place.experiment or "any"
    return tracking.open_store(place, existing=True)


def _look_around(store: Store, run: RecordedRun, parts: Assembly) -> list[Change]:
    from pipeline.strategy import device_names
    from pipeline.tracking.changes import DIGESTS, changed_surroundings
    from pipeline.tracking.surroundings import here

    digests = {role: parts.prepared.digest(role) for role in DIGESTS}
    return changed_surroundings(store, run, here(device_names(parts.strategy)), digests)


def _tell(store: Store, run: RecordedRun, found: Sequence[Change]) -> None:
    from pipeline.tracking.changes import remarks

    console = Console()
    console.line(f"reproduces run {run.run_id} ({run.name}, {run.status})")
    if found:
        console.line("not as recorded:")
    for change in found:
        console.line(f"  {change}")
    if not found:
        console.line("the surroundings are those of the record")
    for remark in remarks(store, run):
        console.line(remark)


def _stop(error: Exception) -> NoReturn:
    """Say what stopped the training; the traceback of a fault is printed, as by train."""
    if isinstance(error, UserError):
        raise error
    traceback.print_exception(error)
    said = f"{type(error).__name__}: {str(error).strip().split(chr(10))[0]}"
    raise TrainingError(f"stopped by {said}; the traceback above says where") from error


# At the recorded commit --------------------------------------------------------------------------


def at_commit(config: DictConfig, words: Sequence[str], changes: Sequence[str]) -> int:
    """This verb with ``words``, in a worktree of the recorded commit. Returns its exit code.

    Raises:
        UserError: the commit or the patch cannot be brought back.
    """
    from pipeline.tracking.changes import PATCH, artifact

    store, run = _recorded(config)
    commit = run.tags.get("mlflow.source.git.commit")
    if commit is None:
        raise ConfigError(
            f"run {run.run_id} was not recorded in a git repository: it has no commit to go to."
        )
    again, _ = config_again(store, run, config, changes)
    package = Path(__file__).resolve().parent
    repository = worktree.repository_with(commit, [Path.cwd(), package])
    command = [sys.executable, "-m", "pipeline.reproduce", run.run_id, *words]
    # The current folder is another one there.
    command.append(f"tracking.root={_quoted(store.location.root)}")
    if store.location.database is not None and config.tracking.uri is not None:
        command.append(f"tracking.uri={_quoted(store.location.uri)}")
    data = again.dataset.data_dir
    if data and not data.startswith(("~", "/")):
        command.append(f"dataset.data_dir={_quoted(Path(data).absolute())}")
    with tempfile.TemporaryDirectory() as folder, StopSignals():
        patch = Path(folder) / "git.patch"
        patch.write_bytes(artifact(store, run.run_id, PATCH) or b"")
        try:
            with worktree.checked_out(repository, commit, patch) as tree:
                there = tree / "pipeline"
                if (there / "train.py").exists() and not (there / "reproduce.py").exists():
                    raise ConfigError(
                        f"commit {commit[:12]} is older than this verb, which is to run there."
                    )
                Console().line(f"at commit {commit[:12]}, in {tree}")
                here = worktree.counterpart(Path.cwd(), repository, tree)
                return worktree.run_in(
                    here if here.is_dir() else tree,
                    command,
                    {"PYTHONPATH": worktree.search_path(repository, tree)},
                )
        except Stopped as stopped:
            return stopped.exit_code


def _quoted(value: object) -> str:
    return "'" + str(value).replace("\\", "\\\\").replace("'", "\\'") + "'"


# The command line --------------------------------------------------------------------------------


def configured(words: Sequence[str]) -> tuple[DictConfig, list[str], list[str]]:
    """This verb's config, its own words less the run, and those that change the recorded config.

    Raises:
        ConfigError: an unknown flag, or not one run.
    """
    names = {field.name for field in dataclasses.fields(Reproduce)}
    runs: list[str] = []
    own: list[str] = []
    changes: list[str] = []
    for word in words:
        key, equals, value = word.partition("=")
        if word.startswith("-"):
            own.append(flag(word, FLAGS))
        elif key == "run" or not (equals or word.startswith("~")):
            runs.append(value.strip("'\"") if equals else word)
        else:
            (own if re.split(r"[.@]", key.lstrip("+~"))[0] in names else changes).append(word)
    if len(runs) != 1 or not runs[0]:
        given = f"{', '.join(runs)} are given; " if len(runs) > 1 else ""
        raise ConfigError(
            f"run: {given}give the id of one run, pipeline.reproduce <run id>, or latest"
        )
    config = compose("reproduce", own)
    config.run = runs[0]  # Hydra would read 00123456 as a number
    return config, own, changes


def main(words: Sequence[str]) -> int:
    """Reproduce, print the verdict, keep it with the new run. Returns the exit code."""
    config, own, changes = configured(words)
    if config.at_commit:
        there = [word for word in own if not word.startswith("at_commit=")]
        return at_commit(config, [*there, *changes], changes)
    found = reproduce(config, changes)
    console = Console()
    for line in found.lines:
        console.line(line)
    keep(_open(config), found)
    console.line(f"run_id={found.run_id} reproduces={found.recorded} verdict={found.verdict}")
    return 1 if config.check and not found.verdict.identical else 0


if __name__ == "__main__":
    verb(main, __doc__)
