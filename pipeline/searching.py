"""Search by Optuna: asks it for trials, has Hydra's launcher run them, tells it what came of them.

The study is a file beside the store, so a search that was cut off goes on with all that it knows.
"""

from __future__ import annotations

import itertools
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf

from pipeline.errors import ConfigError
from pipeline.trial import SWEEP, Objective

if TYPE_CHECKING:
    import optuna


def search(
    config: DictConfig, context: HydraContext, launcher: Launcher, overrides: Sequence[str]
) -> None:
    """Run ``sweep.trials`` trials in the space that the overrides span.

    Raises:
        ConfigError: Optuna is not installed, or the space is none.
    """
    try:
        import optuna
    except ImportError:
        raise ConfigError(
            "+sweep=optuna: Optuna is not installed; pip install 'module-pipeline[optuna]'"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    parsed = OverridesParser.create(config_loader=context.config_loader).parse_overrides(
        list(overrides)
    )
    space = {_key(o): distribution(o) for o in parsed if o.is_sweep_override()}
    fixed = [o.input_line or "" for o in parsed if not o.is_sweep_override()]
    check_space(space, config.sweep.sampler)
    Path(config.hydra.sweep.dir).mkdir(parents=True, exist_ok=True)
    OmegaConf.save(config, Path(config.hydra.sweep.dir) / "multirun.yaml")

    study = open_study(config, space)
    most = config.sweep.trials
    if config.sweep.sampler == "grid":
        most = min(most, math.prod(len(choices(d) or []) for d in space.values()))
    left = most - sum(t.state.name in ("COMPLETE", "PRUNED") for t in study.trials)
    while left > 0:
        asked = [study.ask(space) for _ in range(min(left, config.sweep.parallel))]
        jobs = [[*fixed, *(f"{k}={text(v)}" for k, v in t.params.items())] for t in asked]
        for trial, job in zip(asked, launcher.launch(jobs, asked[0].number), strict=True):
            tell(study, trial, job.return_value, config)
        left -= len(asked)


def distribution(override: Override) -> optuna.distributions.BaseDistribution:
    """Hydra's sweep as a distribution of Optuna's: ``interval``, ``tag(log, …)``, ``int(…)``,
    ``range``, ``choice`` and a plain list."""
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    value = override.value()
    if isinstance(value, IntervalSweep):
        start, end = value.start, value.end
        assert start is not None
        assert end is not None
        log = "log" in value.tags
        if log and start <= 0:
            raise ConfigError(f"{override.input_line}: a logarithmic interval begins above 0")
        if isinstance(start, int) and isinstance(end, int):
            return IntDistribution(start, end, log=log)
        return FloatDistribution(float(start), float(end), log=log)
    if isinstance(value, RangeSweep) and not value.shuffle:
        start, stop, step = value.start, value.stop, value.step
        assert start is not None
        assert stop is not None
        if all(isinstance(v, int) for v in (start, stop, step)) and float(stop) > float(start):
            last = range(int(start), int(stop), int(step))[-1]
            return IntDistribution(int(start), last, step=int(step))
    return CategoricalDistribution(list(override.sweep_string_iterator()))


def check_space(space: Mapping[str, Any], sampler: str) -> None:
    """Raise ``ConfigError`` where a search of this space would be none, or would fool its user."""
    if not space:
        raise ConfigError(
            "+sweep=optuna: nothing is searched; give a range, such as "
            "'optimizer.learning_rate=tag(log,interval(1e-4,1e-1))'"
        )
    if "seed" in space:
        raise ConfigError(
            "seed: a search would choose the luckiest seed. Search with one, then compare the best "
            "settings over several: -m 'seed=range(5)'"
        )
    endless = [key for key, d in space.items() if choices(d) is None]
    if sampler == "grid" and endless:
        raise ConfigError(f"sweep.sampler=grid: {endless[0]} has no end of values; list some")


def choices(distribution: Any) -> list[Any] | None:
    """The values of a distribution that has not too many."""
    from optuna.distributions import CategoricalDistribution, IntDistribution

    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    if isinstance(distribution, IntDistribution) and not distribution.log:
        return list(range(distribution.low, distribution.high + 1, distribution.step))
    return None


def sampler_of(config: DictConfig, known: int) -> Any:
    """The sampler that the config names. ``known``: trials that there are, so that one which goes
    on does not propose the same again."""
    from optuna import samplers

    seed = config.sweep.seed + known
    match config.sweep.sampler:
        case "random" | "grid":  # whose trials all stand in the queue
            return samplers.RandomSampler(seed)
        case "cmaes":
            return samplers.CmaEsSampler(seed=seed)
        case _:
            return samplers.TPESampler(seed=seed, multivariate=True)


def open_study(config: DictConfig, space: Mapping[str, Any]) -> optuna.Study:
    """The sweep's study, made or gone on with: what was cut off or failed is proposed again."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    storage: Any = None  # nothing is kept, as tracking=off says
    name = "sweep"
    if SWEEP in os.environ:
        name = json.loads(os.environ[SWEEP])["id"]
        folder = Path(config.tracking.root) / "studies"
        folder.mkdir(parents=True, exist_ok=True)
        storage = JournalStorage(JournalFileBackend(str(folder / f"{name}.log")))
    study = optuna.create_study(
        storage=storage,
        study_name=name,
        directions=["maximize" if mode == "max" else "minimize" for mode in modes(config).values()],
        load_if_exists=True,
    )
    study.sampler = sampler_of(config, len(study.trials))
    tried = list(study.user_attrs.get("tried again", []))
    for trial in study.trials:
        if trial.state.name == "RUNNING":  # its process is gone
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        if trial.state.name in ("RUNNING", "FAIL") and trial.number not in tried:
            study.enqueue_trial(trial.params)
            tried.append(trial.number)
    study.set_user_attr("tried again", tried)
    if config.sweep.sampler == "grid" and not study.trials:
        for values in itertools.product(*(choices(d) or [] for d in space.values())):
            study.enqueue_trial(dict(zip(space, values, strict=True)))
    return study


def modes(config: DictConfig) -> dict[str, str]:
    """Metric -> max or min, the main objective first."""
    return {config.objective.metric: config.objective.mode, **config.sweep.objectives}


def tell(study: optuna.Study, trial: optuna.Trial, value: Any, config: DictConfig) -> None:
    """What came of a trial. One without a finite value is recorded as failed."""
    from optuna.trial import TrialState

    found = value if isinstance(value, Objective) else None
    further = list(config.sweep.objectives)
    metrics = found.metrics if found is not None else {}
    values = [float("nan") if value is None else float(value)]
    values += [metrics.get(key, float("nan")) for key in further]
    if found is not None and found.pruned and not further:
        trial.report(values[0], 0)
        study.tell(trial, state=TrialState.PRUNED)
    elif all(map(math.isfinite, values)):
        study.tell(trial, values)
    else:
        study.tell(trial, state=TrialState.FAIL)


def text(value: Any) -> str:
    """A proposed value as Hydra reads it; a choice is its own text."""
    return value if isinstance(value, str) else repr(value)


def _key(override: Override) -> str:
    return override.get_key_element()
