"""One trial of a sweep, in whatever process a launcher starts it.

It joins the sweep by the environment, and finds by the digest of its config whether it was run
before: a finished trial is not run again, a killed one goes on from its checkpoint.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from pipeline import tracking, trial_process
from pipeline.console import complain, say
from pipeline.errors import TrainingError
from pipeline.resuming import config_digest
from pipeline.tracking import sweeps

if TYPE_CHECKING:
    from pipeline.tracking.store import Store

SWEEP = "PIPELINE_SWEEP"  # JSON: id of the parent, swept keys, how many trials
MOST_DEATHS = 3  # of a trial's process, before it counts as failed
SAVING = 30.0  # seconds that a process may take to end when it was stopped


class Objective(float):
    """What a trial came to, a number to any sweeper; ours reads the rest of it."""

    run_id: str
    pruned: bool
    metrics: dict[str, float]

    @classmethod
    def of(cls, value: float | None, run_id: str, pruned: bool, metrics: Mapping[str, float]):
        """``value``: of the objective; ``None``, which is none, becomes NaN."""
        found = cls(float("nan") if value is None else value)
        found.run_id, found.pruned, found.metrics = run_id, pruned, dict(metrics)
        return found


@dataclass(frozen=True)
class Trial:
    """A trial of the sweep ``sweep``. ``overrides``: of the keys that the sweep varies."""

    sweep: str
    number: int
    total: int | None
    overrides: tuple[str, ...]

    @property
    def name(self) -> str:
        """What it sets, with short keys: ``units=64 seed=1``."""
        return " ".join(short(self.overrides)) or f"trial {self.number}"

    @property
    def tags(self) -> dict[str, str]:
        """By which MLflow's pages, and we, find it."""
        return {
            sweeps.PARENT_TAG: self.sweep,
            sweeps.TRIAL_TAG: str(self.number + 1),
            sweeps.OVERRIDES_TAG: " ".join(self.overrides),
        }

    def run(self, config: DictConfig) -> Objective:
        """Train it, or what is left of it, in a process of its own.

        Raises:
            UserError: it failed; the text says why.
        """
        of = f" of {self.total}" if self.total else ""
        say(f"trial {self.number + 1}{of}: {' '.join(self.overrides)}")
        store = tracking.open_store(config.tracking, existing=True)
        while True:
            asked = list(HydraConfig.get().overrides.task)
            found = None if config.resume else self._found(store, config)
            if found is not None and found.done:
                say(f"run_id={found.run_id} status=FINISHED before")
                return _objective(config, found)
            if found is not None and self._can_resume(store, found):
                config.resume, asked = found.run_id, []
            try:
                return trial_process.call(_fit, config, asked, self)
            except trial_process.Killed as killed:
                sweeps.reap(store, self.sweep)
                complain(f"warning: trial {self.number + 1}: {killed}; it goes on")
                config.resume = None

    def _found(self, store: Store, config: DictConfig) -> sweeps.TrialRun | None:
        runs = sweeps.trials(store, self.sweep, config_digest(config))
        until = time.monotonic() + SAVING
        while any(run.alive for run in runs) and time.monotonic() < until:
            time.sleep(0.2)  # its launcher was killed, and it saves
            runs = sweeps.trials(store, self.sweep, config_digest(config))
        if not config.sweep.prune_from:  # what pruning had stopped is to be trained whole
            runs = [run for run in runs if run.pruned is None]
        return next(iter(sweeps.one_each(runs)), None)

    def _can_resume(self, store: Store, found: sweeps.TrialRun) -> bool:
        if found.status != "KILLED":  # failed: once more from the beginning
            return False
        if found.deaths >= MOST_DEATHS:
            raise TrainingError(f"its process was killed {found.deaths} times (run {found.run_id})")
        from pipeline.tracking.models import Models

        return bool(Models(store, found.run_id).checkpoints())


def _fit(config: DictConfig, overrides: Sequence[str], trial: Trial) -> Objective:
    """What the trial's own process does."""
    from pipeline.train import fit

    result = fit(config, overrides, trial=trial)
    pruned = result.reason == "pruned"
    return Objective.of(result.objective, result.run_id, pruned, result.metrics)


def of_this_job() -> Trial | None:
    """The trial that this job of Hydra's is; ``None`` where it is no sweep's."""
    hydra = HydraConfig.get()
    if SWEEP not in os.environ or hydra.mode != RunMode.MULTIRUN:
        return None
    said = json.loads(os.environ[SWEEP])
    return Trial(said["id"], hydra.job.num, said["total"], tuple(chosen(hydra, said["keys"])))


def chosen(hydra: Any, keys: Collection[str] | None) -> list[str]:
    """Of a job's overrides those of the keys that its sweep varies; ``None``: all."""
    return [o for o in hydra.overrides.task if keys is None or _key(o) in keys]


def short(overrides: Sequence[str]) -> list[str]:
    """``key=value`` with the last words of keys, as many as tell them apart."""
    keys = [_key(override).split(".") for override in overrides]
    found = []
    for override, parts in zip(overrides, keys, strict=True):
        ends = range(1, len(parts) + 1)
        n = next((n for n in ends if sum(k[-n:] == parts[-n:] for k in keys) == 1), len(parts))
        found.append(f"{'.'.join(parts[-n:])}={override.partition('=')[2]}")
    return found


def share_machine(workers: int, number: int) -> None:
    """Take this process's share of the machine, where ``workers`` train at a time. Before
    TensorFlow loads; what the environment says already stays.

    Args:
        number: of the trial; the first ones of all workers follow each other.
    """
    if workers < 2 or "tensorflow" in sys.modules:
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = str(max(1, (cores or 1) // workers))
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(name, threads)
    gpus = _gpus()
    if len(gpus) > 1:
        each = max(1, len(gpus) // workers)
        first = number * each % len(gpus)
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(gpus[first : first + each])
    if gpus:
        os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")


def _gpus() -> list[str]:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name for name in visible.split(",") if name and name != "-1"]
    return [str(i) for i in range(16) if os.path.exists(f"/dev/nvidia{i}")]


def _objective(config: DictConfig, found: sweeps.TrialRun) -> Objective:
    value = found.metrics.get(f"best/{config.objective.metric}")
    return Objective.of(value, found.run_id, found.pruned is not None, found.metrics)


def _key(override: str) -> str:
    return override.lstrip("+").partition("=")[0]
