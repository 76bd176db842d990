"""``python -m pipeline.train +experiment=digits``: one config, one trained and tracked model.

From Python the same run is ``fit(compose("train", ["+experiment=digits"]))``.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from pipeline import preflight, sweep, tracking
from pipeline.background import Background
from pipeline.cli import hydra_main
from pipeline.composing import compose
from pipeline.console import Console, complain
from pipeline.errors import ConfigError
from pipeline.pruning import Halving
from pipeline.quiet import load_tensorflow
from pipeline.resuming import changing, config_digest, recorded_config
from pipeline.signals import Stopped, StopSignals
from pipeline.tracking.sweeps import CONFIG_TAG, PRUNED_TAG
from pipeline.trial import Trial, of_this_job
from pipeline.warm_starting import name_source, warm_start

if TYPE_CHECKING:
    from pipeline.assembly import Assembly
    from pipeline.recording import Recorder
    from pipeline.tracking.tracker import AnyTracker

__all__ = ["Result", "compose", "fit"]

AT_ONCE = 5.0  # seconds to deliver what is left when a second signal has come


@dataclass(frozen=True)
class Result:
    """What came of a run. ``metrics``: the last value of each; ``objective``: the best of its."""

    run_id: str
    status: str
    reason: str  # finished | early_stopping
    objective: float | None
    metrics: dict[str, float]


def fit(
    config: DictConfig,
    overrides: Sequence[str] = (),
    before: Callable[[Assembly], None] | None = None,
    trial: Trial | None = None,
) -> Result:
    """Train what ``config`` says and record it; go on with a run where ``config.resume`` names one.

    Args:
        config: as ``compose("train", […])`` returns it.
        overrides: what was said on the command line; they name the run, and change a resumed one.
        before: called with the parts before there is a run; what it raises refuses them.
        trial: of the sweep that the run belongs to.

    Raises:
        UserError: the text says what to mend. Once there is a run, it has ended as FAILED.
        SystemExit: stopped by Ctrl-C (130) or SIGTERM (143), after saving; the run is KILLED.
    """
    preflight.check(config)
    console = Console(f"trial {trial.number + 1}" if trial else "")
    with StopSignals() as signals:
        try:
            return _fit(config, overrides, console, signals, before, trial)
        except Stopped as stopped:
            if signals.at_once is None:
                complain(f"{stopped} before there was a run")
            raise SystemExit(stopped.exit_code) from None


def _fit(
    config: DictConfig,
    overrides: Sequence[str],
    console: Console,
    signals: StopSignals,
    before: Callable[[Assembly], None] | None,
    trial: Trial | None,
) -> Result:
    # Before the data fills in what the config leaves open: so it is known what has been trained.
    digest: str | None = config_digest(config)
    # What cannot be written to is said before TensorFlow loads and data is read.
    resume_run_id = None
    if config.tracking.kind == "off":
        if config.resume:
            raise ConfigError("tracking=off keeps no runs: there is none that resume could find.")
    elif config.resume or config.model.get("init_from"):  # a run that is there
        store = tracking.open_store(config.tracking, existing=True)
        if config.resume:
            config, resume_run_id = recorded_config(store, config, overrides)
            if trial is None:  # whose own config is the one that the run was made of
                digest = config_digest(config) if changing(overrides) else None
        else:
            name_source(store, config)
    else:
        tracking.check(config.tracking)

    load_tensorflow()
    from pipeline.assembly import assemble, flat
    from pipeline.profiling import Profiling
    from pipeline.recording import Recorder, announce, describe
    from pipeline.sampling import sampler
    from pipeline.training import loop
    from pipeline.training.spent import Spent

    parts = assemble(config)
    if before is not None:
        before(parts)
    compiling = Background("compiling", often=True)  # XLA asks Python for each operation's origin
    parts.trainer.trace()
    compiling.start(parts.trainer.compile)  # XLA does, while MLflow is loaded and opened
    try:
        if config.tracking.kind != "off":
            tracking.open_store(config.tracking)  # takes long, and may be interrupted
        with signals.deferred():  # a run that is made is ended too
            tracker = tracking.start(
                config.tracking,
                params=recorded_params(flat(config)),
                tags=({CONFIG_TAG: digest} if digest else {}) | (trial.tags if trial else {}),
                run_name=config.tracking.run_name or (trial.name if trial else run_name(overrides)),
                resume_run_id=resume_run_id,
            )
    except BaseException:
        with suppress(Exception):
            compiling.wait()
        raise
    signals.at_once = partial(_end_at_once, tracker, console)
    status, error = "FAILED", None
    recorder: Recorder | None = None
    try:
        signals.answer()
        describe(tracker, parts, config, overrides)
        recorder = Recorder(tracker, parts, console)
        profiling = Profiling(tracker, parts, console)
        compiling.wait()  # before anything is assigned: it reads all variables and writes them back
        tracker.tags({"compiled": str(parts.trainer.compilation)})
        parts.trainer.try_evaluation()
        if resume_run_id:
            progress = recorder.checkpoints.restore()
        else:
            parts.adapt()
            if config.model.get("init_from"):
                recorder.tell_warm_start(warm_start(parts, store, config.model.init_from))
            progress = recorder.begin()
        if trial is None:  # a sweep shows its trials side by side, when they have ended
            announce(console, parts, tracker.run_id, overrides)
        profiling.take()
        spent = Spent()
        give_up = _give_up_by(trial, tracker, parts) if trial else None
        with signals.deferred(), console.training(parts.trainer.current_step, parts.plan.total):
            reason = loop.run(
                parts.trainer,
                parts.plan,
                progress,
                recorder,
                lambda: signals.received is not None,
                spent,
                give_up,
                sampler(parts, tracker, console),
            )
        profiling.tell(spent)
        recorder.checkpoints.tell_unsaved()
        if reason == "stopped":
            raise Stopped(signals.received or 15)
        if reason == "pruned":
            tracker.tags({PRUNED_TAG: str(progress.pruned)})
            console.line(f"given up {progress.pruned}")
            metrics = progress.latest | best_metric(recorder, progress)
        else:
            metrics = conclude(recorder, progress, overrides)
        recorder.tell_left_out()
        status = "FINISHED"
    except Stopped as stopped:
        status = "KILLED"
        at = parts.trainer.current_step
        console.line(f"{stopped} at step {at}; go on with: resume={tracker.run_id}")
        raise
    except BaseException:
        error = traceback.format_exc()
        raise
    finally:
        signals.at_once = partial(_give_up, tracker, console)
        parts.trainer.close()
        with signals.ignored():
            if recorder is not None:
                recorder.checkpoints.close(wait=status == "FAILED")
            tracker.finish(status, error)
            if tracker.warning:
                complain(f"warning: {tracker.warning}")
            if status != "FINISHED":
                console.result(tracker.run_id, status, {})
    if config.tracking.kind != "off" and trial is None:
        console.line("metrics, checkpoints and the model: python -m pipeline.ui")
    console.result(
        tracker.run_id,
        status,
        {k: metrics[k] for k in _told(parts) if k in metrics},
    )
    return Result(tracker.run_id, status, reason, progress.best, metrics)


def _end_at_once(tracker: AnyTracker, console: Console, stopped: Stopped) -> bool:
    """In another thread than the one that trains, which is in a long call; the process ends then.

    Nothing is saved: the run goes on from its last checkpoint.
    """
    tracker.finish("KILLED", longest=AT_ONCE)
    console.line(f"{stopped} at once, without saving; go on with: resume={tracker.run_id}")
    console.result(tracker.run_id, "KILLED", {})
    return True


def _give_up(tracker: AnyTracker, console: Console, stopped: Stopped) -> bool:
    """In another thread than the one that delivers what is left of a run, which may take long."""
    if not tracker.finish("KILLED", longest=AT_ONCE):  # waits for the other, which tells the result
        return False
    console.line(f"{stopped} at once; what MLflow lacks: python -m pipeline.doctor --apply")
    console.result(tracker.run_id, "KILLED", {})
    return True


def conclude(recorder: Recorder, progress: Any, overrides: Sequence[str]) -> dict[str, float]:
    """Best weights, test split, exported model, and what it gets wrong. Returns the last value of
    every metric."""
    from pipeline.explaining import explain

    recorder.tag_digest("sha256/last")
    validated = recorder.checkpoints.restore_best(progress)
    results = recorder.test()
    recorder.tag_digest("sha256/best")
    answers = recorder.export(results)
    explain(recorder, answers, validated | results, overrides)
    return progress.latest | best_metric(recorder, progress) | results


def _told(parts: Assembly) -> tuple[str, str]:
    """The best of the objective, and what the test split gives of it."""
    metric = parts.plan.metric
    return f"best/{metric}", f"test/{metric.rpartition('/')[2]}"


def best_metric(recorder: Recorder, progress: Any) -> dict[str, float]:
    """The best of the objective, under the name that it is logged by."""
    if progress.best is None:
        return {}
    return {f"best/{recorder.parts.plan.metric}": progress.best}


def _give_up_by(trial: Trial, tracker: AnyTracker, parts: Assembly) -> Halving | None:
    from pipeline.tracking.tracker import Tracker

    if not parts.plan.rungs or not isinstance(tracker, Tracker):
        return None
    return Halving(tracker, trial.sweep, parts.plan, parts.config.sweep.prune_factor)


def recorded_params(values: dict[str, Any]) -> dict[str, Any]:
    """Of the flat config what describes the run; how trials are chosen is the sweep's."""
    return {key: value for key, value in values.items() if not key.startswith("sweep.")}


def run_name(overrides: Sequence[str]) -> str | None:
    """What was said on the command line, as a name: ``digits optimizer.learning_rate=0.01``."""
    words = [o.removeprefix("+experiment=") for o in overrides if not o.startswith("tracking.")]
    return " ".join(words)[:250] or None


def run(config: DictConfig) -> float | None:
    """One job of Hydra's. Returns the objective, which sweepers maximise or minimise."""
    trial = of_this_job()
    if trial is not None and config.tracking.kind != "off":
        return trial.run(config)
    return fit(config, list(HydraConfig.get().overrides.task)).objective


def main() -> None:
    """The console script and ``python -m pipeline.train``."""
    hydra_main("train", run, sweep.run)


if __name__ == "__main__":
    main()
