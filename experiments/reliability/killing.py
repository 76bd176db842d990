"""Kill a training run at a chosen moment, and resume it.

The moment is seen from outside: in the run's working folder, in the store's folder of artifacts,
or on the clock. The run knows nothing of it.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from forking import PROJECT, Forked, Runner

__all__ = ["PROJECT", "Killed", "Process", "finish", "kill_until_finished", "run_id", "train"]

POLL = 0.001  # seconds
LONGEST = 300.0  # seconds that one process may take
LATEST = 4.0  # seconds after which a random moment has come

BASE = (
    "tracking.system_metrics=false",
    "trainer.duration=200 steps",
    "trainer.evaluate_every=20 steps",
    "trainer.checkpoint_every=10 steps",
    "trainer.checkpoint_seconds=0",
    "trainer.log_every=7 steps",
    "trainer.steps_per_call=10",
)
CONFIGURATIONS = {
    "dense": ("+experiment=digits",),
    "convolution, BatchNorm, dropout": ("+experiment=digits_cnn",),
    "accumulation, moving average": (
        "+experiment=digits",
        "trainer.accumulate=2",
        "trainer.average=0.98",
        "optimizer=adamw",
    ),
    "Stateful(GRU)": (
        "+experiment=digits",
        "model=gru",
        "model.layers.recurrent._target_=layers.Stateful",
        "+model.layers.recurrent.batch=${trainer.batch_size}",
        "trainer.compile=off",
    ),
    "SelfTraining": ("+experiment=digits_local",),
    "2 replicas": ("+experiment=digits_cnn", "strategy.replicas=2"),
    "streamed": ("+experiment=digits", "dataset.feed=stream"),
    "transformer, dropout": ("+experiment=digits", "model=transformer"),
}


class Watched:
    """A run that is being trained, as the disk shows it."""

    def __init__(self, root: Path, run_id: str) -> None:
        self.work = root / "work" / run_id
        self.models = root / "artifacts" / "models"

    def writes(self) -> set[str]:
        """Checkpoints that are being written."""
        return {path.name for path in (self.work / "checkpoints").glob(".unfinished-*")}

    def checkpoints(self) -> set[str]:
        return {path.name for path in (self.work / "checkpoints").glob("step-*")}

    def uploads(self) -> set[str]:
        """Checkpoints and models that the store has, or is being given, files of."""
        return {path.name for path in self.models.glob("m-*")}

    def exports(self) -> set[str]:
        """Final models that are being saved, or wait to be sent."""
        return {path.parent.name for path in (self.work / "outbox").glob("*/model")}

    def final_uploads(self) -> set[str]:
        """Final models that the store has, or is being given, files of."""
        return {path.parts[-3] for path in self.models.glob("m-*/artifacts/tf2model")}


# Moment -> what of it is new when it has come, and how many of them may pass before.
MOMENTS: dict[str, tuple[Callable[[Watched], set[str]], int]] = {
    "in a checkpoint write": (Watched.writes, 6),
    "after a checkpoint write": (Watched.checkpoints, 6),
    "in an upload": (Watched.uploads, 3),
    "in the export of the model": (Watched.exports, 1),
    "in the upload of the model": (Watched.final_uploads, 1),
}
ANY_TIME = "at a random time"
ALL_MOMENTS = (*MOMENTS, ANY_TIME)


@dataclass
class Process:
    """A training process and the file of what it says."""

    forked: Forked
    output: Path

    @property
    def ended(self) -> bool:
        return self.forked.poll() is not None

    def said(self) -> str:
        return self.output.read_text("utf-8")


@dataclass
class Killed:
    """A run that was killed again and again until it finished."""

    run_id: str
    kills: list[str]  # the moments that came about
    output: str  # of the last process


def train(runner: Runner, root: Path, *overrides: str) -> Process:
    """``python -m pipeline.train`` with the store ``root``; its output in a file beside that."""
    output = root.parent / f"output-{time.monotonic_ns()}.txt"
    given = [*overrides, f"tracking.root={root}"]
    return Process(runner.start("pipeline.train", *given, cwd=root.parent, output=output), output)


def finish(process: Process) -> str:
    """Wait for a process that must succeed. Returns its output."""
    code = process.forked.wait(LONGEST)
    if code != 0:
        raise RuntimeError(f"exit code {code}: {process.said()}")
    return process.said()


def kill_until_finished(
    runner: Runner,
    root: Path,
    overrides: Sequence[str],
    moments: Iterable[str],
    random_numbers: random.Random,
    told: Callable[[str], None] = lambda moment: None,
) -> Killed:
    """Train with SIGKILL at each of ``moments``, resumed after each, and then to the end.

    A moment that does not come in a process that finishes first is left out, and ends the run.
    """
    kills: list[str] = []
    known = ""
    for moment in moments:
        process = train(runner, root, *([f"resume={known}"] if known else overrides))
        known = known or run_id(process)
        if not _kill_at(moment, process, Watched(root, known), random_numbers):
            return Killed(known, kills, finish(process))
        kills.append(moment)
        told(moment)
    return Killed(known, kills, finish(train(runner, root, f"resume={known}")))


def _kill_at(moment: str, process: Process, run: Watched, random_numbers: random.Random) -> bool:
    """Wait for the moment and kill. False where the process ended before it came."""
    while not run.checkpoints():  # before its first checkpoint a run cannot be resumed
        if process.ended:
            return False
        time.sleep(POLL)
    if moment == ANY_TIME:
        until = time.monotonic() + random_numbers.uniform(0, LATEST)
        while time.monotonic() < until:
            if process.ended:
                return False
            time.sleep(POLL)
    else:
        look, most = MOMENTS[moment]
        known, left = look(run), random_numbers.randint(1, most)
        while left:
            new = look(run) - known
            known |= new
            left -= min(left, len(new))
            if process.ended:
                return False
            time.sleep(POLL * bool(left))
    process.forked.kill()
    process.forked.wait()
    return True


def run_id(process: Process) -> str:
    """As it says when it begins to train."""
    deadline = time.monotonic() + LONGEST
    while time.monotonic() < deadline:
        found = re.search(r"^run +([0-9a-f]{32})\b", process.said(), re.MULTILINE)
        if found:
            return found[1]
        if process.ended:
            break
        time.sleep(0.05)
    raise RuntimeError(f"no run began: {process.said()}")
