"""A config is checked as a whole before TensorFlow, MLflow or any data is touched.

``check`` finds all problems and says them at once, one line each: the key, what was given, what is
expected, what to do. What only the data can tell (a model that does not fit it) is checked later.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from math import isfinite
from types import UnionType
from typing import Any, get_args, get_type_hints
from urllib.parse import urlsplit

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import InterpolationKeyError, OmegaConfBaseException

from pipeline import preflight_dataset, sources, targets, warm_starting
from pipeline.config import Train
from pipeline.errors import ConfigError, did_you_mean, did_you_mean_key
from pipeline.intervals import describe, outside
from pipeline.targets import UNKNOWN

RANGES = {
    "seed": "[0, 2147483647]",
    "dataset.classes": "[1, inf)",
    "dataset.outputs": "[1, inf)",
    "dataset.vocabulary": "[1, inf)",
    "dataset.memory": "(0, inf)",
    "dataset.splits.hold_out": "(0, 1)",
    "trainer.batch_size": "[1, inf)",
    "trainer.evaluation_batch_size": "[1, inf)",
    "trainer.steps_per_call": "[1, inf)",
    "trainer.accumulate": "[1, inf)",
    "trainer.clip_norm": "(0, inf)",
    "trainer.average": "(0, 1)",
    "trainer.checkpoint_seconds": "[0, inf)",
    "trainer.stop_within": "(0, inf)",
    "trainer.profile": "[0, inf)",
    "trainer.early_stopping.min_delta": "[0, inf)",
    "strategy.replicas": "[1, inf)",
    "sweep.prune_factor": "[2, inf)",
    "sweep.trials": "[1, inf)",
    "sweep.parallel": "[1, inf)",
    "sweep.seed": "[0, 2147483647]",
}
CHOICES = {
    "objective.mode": ("max", "min"),
    "dataset.order": ("shuffled", "contiguous"),
    "dataset.feed": ("auto", "resident", "stream"),
    "dataset.on_error": ("stop", "skip"),
    "trainer.compile": ("auto", "loop", "gradients", "off"),
    "trainer.precision": ("float32", "bfloat16"),
    "tracking.kind": ("mlflow", "off"),
    "sweep.sampler": ("tpe", "random", "cmaes", "grid"),
}
PERIODS = (
    "trainer.duration",
    "trainer.evaluate_every",
    "trainer.checkpoint_every",
    "trainer.log_every",
    "trainer.early_stopping.patience",
    "sweep.prune_from",
)
# Group -> what a mapping without _target_ should have had.
TARGETS = {
    "model": "model=mlp or model=cnn",
    "task": "task=classification",
    "optimizer": "optimizer=adam, or _target_: pipeline.training.optimizers.Adam",
    "schedule": "schedule=cosine, or _target_: pipeline.training.schedules.Cosine",
}
TRAINING = ("gradient_norm", "learning_rate")  # measured beside the task's metrics
STORES = ("sqlite", "http", "https", "postgresql", "mysql", "mssql", "databricks")

_METRIC = re.compile(r"(train|val)/[\w./ -]+")
_RUN_ID = re.compile(r"[0-9a-f]{8,32}")


def check(cfg: DictConfig) -> None:
    """Raise ``ConfigError`` with every problem of ``cfg``, a composed ``train`` config."""
    problems = list(dict.fromkeys(find_problems(cfg)))
    if len(problems) == 1:
        raise ConfigError(problems[0])
    if problems:
        lines = "\n".join(f"  {problem}" for problem in problems)
        raise ConfigError(f"{len(problems)} problems in the config:\n{lines}")


def check_callbacks(callbacks: DictConfig | None, trusted: list[str]) -> None:
    """Raise ``ConfigError`` where ``hydra.callbacks`` names what is not trusted."""
    found: list[str] = []
    plain = _plain(callbacks, "hydra.callbacks", found)
    hydras = ["hydra.experimental.callbacks", "hydra_plugins"]
    found += targets.check(plain, "hydra.callbacks", [*trusted, *hydras])
    if found:
        raise ConfigError(found[0])


def find_problems(cfg: DictConfig) -> Iterator[str]:
    """The problems, one line each, in the order of the keys."""
    found: list[str] = []
    plain = _plain(cfg, "", found)
    yield from found
    yield from _check_keys(plain, Train, "", plain)
    flat = dict(_flat(plain))
    yield from _check_numbers(flat)
    yield from _check_words(flat)
    yield from _check_batch(flat)
    yield from _check_tracking(flat)
    yield from preflight_dataset.problems(flat)
    trusted = plain.get("trusted_packages")
    trusted = [name for name in trusted if isinstance(name, str)] if trusted else []
    yield from _check_targets(plain, trusted)
    model = plain.get("model")
    off = flat.get("tracking.kind") == "off"
    if off and isinstance(model, dict) and model.get("init_from"):
        yield "model.init_from: tracking=off keeps no runs to start from; name a store"
    for key, module in preflight_dataset.modules(flat):
        if not targets.is_trusted(module, trusted):
            yield (
                f"{key}: {module!r} is not in a trusted package; importing it runs its code. "
                f"If you trust it, add trusted_packages=[{module.split('.')[0]}] to the command "
                "line"
            )


# Reading -----------------------------------------------------------------------------------------


def _plain(node: Any, path: str, problems: list[str]) -> Any:
    """``node`` as dicts, lists and scalars, interpolations resolved, the rest ``UNKNOWN``."""
    if isinstance(node, DictConfig):
        keys = [str(key) for key in node]
        return {key: _value(node, key, f"{path}.{key}" if path else key, problems) for key in keys}
    if isinstance(node, ListConfig):
        return [_value(node, at, f"{path}.{at}", problems) for at in range(len(node))]
    return node


def _value(node: DictConfig | ListConfig, key: Any, path: str, problems: list[str]) -> Any:
    if OmegaConf.is_missing(node, key):
        group = path in TARGETS
        how = f"choose one: {TARGETS[path]}" if group else f"add {path}=… to the command line"
        problems.append(f"{path}: nothing is given and there is no default; {how}")
        return UNKNOWN
    written = str(node._get_node(key)) if OmegaConf.is_interpolation(node, key) else ""
    if "${hydra:" in written:
        return UNKNOWN  # known inside the run
    try:
        value = node[key]
    except InterpolationKeyError as error:
        missing = re.search(r"key '([^']+)'", str(error))
        keys = [k for k, _ in _flat(OmegaConf.to_container(_root(node), resolve=False))]
        hint = did_you_mean_key(missing[1], keys) if missing else ""
        problems.append(f"{path}: {written} leads to a key that is not there. {hint}")
        return UNKNOWN
    except (OmegaConfBaseException, RecursionError, ValueError) as error:
        said = str(error).strip().split("\n")[0] or type(error).__name__
        problems.append(f"{path}: {written or 'its value'} cannot be resolved: {said}")
        return UNKNOWN
    if written and value is None:
        return UNKNOWN  # ${dataset.classes}, before the data is known
    return _plain(value, path, problems)


def _root(node: DictConfig | ListConfig) -> Any:
    return node._get_root()


def _flat(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every dotted key, containers too."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            at = f"{path}.{key}" if path else str(key)
            yield at, value
            yield from _flat(value, at)


# The schema --------------------------------------------------------------------------------------


def _check_keys(node: Any, schema: type, path: str, whole: Any) -> Iterator[str]:
    """Keys that the schema does not have (``+foo=1`` gets past Hydra), and those taken away."""
    if not isinstance(node, dict):
        return
    hints = get_type_hints(schema)
    for key in node.keys() - hints.keys():
        at = f"{path}{key}"
        valid = [
            *(f"{path}{name}" for name in hints),
            *dict(_flat(_schema_tree(Train))),
        ]
        valid += ["experiment", "debug"] if not path else []
        yield f"{at}: there is no such key. {did_you_mean_key(at, set(valid))}"
    for key, kind in hints.items():
        if key not in node:
            yield f"{path}{key}: taken away, but training needs it; leave out ~{path}{key}"
        elif _dataclass_in(kind):
            yield from _check_keys(node[key], _dataclass_in(kind), f"{path}{key}.", whole)


def _schema_tree(schema: type) -> dict[str, Any]:
    """The schema's keys as nested dicts."""
    tree: dict[str, Any] = {}
    for key, kind in get_type_hints(schema).items():
        inner = _dataclass_in(kind)
        tree[key] = _schema_tree(inner) if inner else None
    return tree


def _dataclass_in(kind: Any) -> Any:
    kinds = get_args(kind) if isinstance(kind, UnionType) else (kind,)
    return next((k for k in kinds if dataclasses.is_dataclass(k)), None)


# Values ------------------------------------------------------------------------------------------


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _check_numbers(flat: dict[str, Any]) -> Iterator[str]:
    for key, value in flat.items():
        if not _is_number(value):
            continue
        interval = RANGES.get(key)
        if not isfinite(value):
            yield f"{key}: {value} is not a finite number; give one{_within(interval)}"
        elif interval and outside(value, interval):
            yield f"{key}: {value} is out of range; a number {describe(interval)} is expected"


def _within(interval: str | None) -> str:
    return f" {describe(interval)}" if interval else ""


def _check_words(flat: dict[str, Any]) -> Iterator[str]:
    for key, words in CHOICES.items():
        value = flat.get(key)
        if not isinstance(value, str) or value in words:
            continue
        quoted = value.lower() == "false" and "off" in words
        hint = "In YAML write 'off' in quotes." if quoted else did_you_mean(value, words)
        yield f"{key}: {value!r} is none of {', '.join(words)}. {hint}"
    for key, value in flat.items():
        if key.startswith("sweep.objectives.") and value not in CHOICES["objective.mode"]:
            yield f"{key}: {value!r} is neither max nor min"
    for key in PERIODS:
        value = flat.get(key)
        if value is not None and value is not UNKNOWN:
            yield from targets.period_problem(value, key, percent=key != "trainer.duration")
    metric = flat.get("objective.metric")
    if isinstance(metric, str) and not _METRIC.fullmatch(metric):
        test = metric.startswith("test/")
        why = "is of the test split, which must not choose" if test else "names no metric"
        leaf = metric.rpartition("/")[2] or "accuracy"
        yield f"objective.metric: {metric!r} {why}; write 'val/{leaf}' or 'train/{leaf}'"
    elif isinstance(metric, str):
        yield from _check_metric(metric, flat.get("task._target_"), flat.get("task.metrics"))
    resume = flat.get("resume")
    if isinstance(resume, str) and resume != "latest" and not _RUN_ID.fullmatch(resume):
        yield (
            f"resume: {resume!r} is neither a run id (32 characters of 0-9 and a-f) nor 'latest'. "
            + did_you_mean(resume, ["latest"])
        )


def _check_metric(metric: str, task: Any, asked: Any) -> Iterator[str]:
    """A line where no evaluation would ever report ``metric``: no checkpoint would be the best."""
    split, _, name = metric.partition("/")
    known = sources.literal_words(f"{task}.metrics") if isinstance(task, str) else []
    if known and isinstance(asked, list):
        known = ["loss", *map(str, asked)]
    published = split == "train" and "/" in name  # by a layer, under its path
    if known and not published and name not in [*known, *(TRAINING if split == "train" else ())]:
        near = did_you_mean(metric, [f"{split}/{name}" for name in known])
        yield f"objective.metric: the task does not measure {metric!r}. {near}"


def _check_batch(flat: dict[str, Any]) -> Iterator[str]:
    batch, replicas = flat.get("trainer.batch_size"), flat.get("strategy.replicas")
    accumulate = flat.get("trainer.accumulate")
    counted = [n for n in (batch, accumulate, replicas) if n is not None]
    if not all(_is_number(n) and n >= 1 for n in counted) or batch is None:
        return
    parts = {"strategy.replicas": replicas or 1, "trainer.accumulate": accumulate or 1}
    whole = parts["strategy.replicas"] * parts["trainer.accumulate"]
    if batch % whole:
        by = " x ".join(f"{key}={n}" for key, n in parts.items() if n > 1)
        below = batch // whole * whole
        near = f"{below} or {below + whole}" if below else str(whole)
        yield f"trainer.batch_size={batch} is not divisible by {by}; use {near}"


def _check_tracking(flat: dict[str, Any]) -> Iterator[str]:
    for key in ("tracking.root", "tracking.experiment"):
        if isinstance(flat.get(key), str) and not flat[key].strip():
            yield f"{key}: an empty name; leave it out for the default"
    uri = flat.get("tracking.uri")
    if not isinstance(uri, str):
        return
    if not uri.strip():
        yield "tracking.uri: no address is given; add tracking.uri=http://host:5000"
        return
    scheme = uri.partition(":")[0].partition("+")[0] if ":" in uri else ""
    if scheme == "file" or not scheme:
        yield (
            f"tracking.uri: {uri!r} is a folder, and MLflow's file store is in maintenance mode "
            "(it refuses new runs); write sqlite:///<folder>/mlflow.db, or leave tracking.uri out "
            "and set tracking.root"
        )
    elif scheme not in STORES:
        yield f"tracking.uri: {uri!r} has an unknown scheme. {did_you_mean(scheme, STORES)}"
    elif scheme == "sqlite" and not re.match(r"sqlite(\+\w+)?:///.", uri):
        path = uri.partition(":")[2].lstrip("/") or "mlruns/mlflow.db"
        yield f"tracking.uri: {uri!r} has no file; write sqlite:///{path} (three slashes)"
    elif scheme in ("http", "https") and not urlsplit(uri).hostname:
        yield f"tracking.uri: {uri!r} has no host; write such as http://127.0.0.1:5000"


# Parts named by _target_ -------------------------------------------------------------------------


def _check_targets(plain: dict[str, Any], trusted: list[str]) -> Iterator[str]:
    for key, example in TARGETS.items():
        if key in plain:
            yield from targets.require_target(plain[key], key, example)
    dataset = plain.get("dataset")
    for part in ("preprocess", "augment"):
        steps = dataset.get(part) if isinstance(dataset, dict) else None
        for name, step in steps.items() if isinstance(steps, dict) else ():
            at = f"dataset.{part}.{name}"
            yield from targets.require_target(step, at, f"~{at} to leave it out")
    frame = dataset.get("frame") if isinstance(dataset, dict) else None
    if frame is not None:
        yield from targets.require_target(frame, "dataset.frame", "dataset.frame=null for none")
    for key, node in plain.items():
        if key == "model" and isinstance(node, dict) and "init_from" in node:
            # The run's business, not an argument of the model's.
            node = dict(node)
            yield from warm_starting.problems(node.pop("init_from"), "model.init_from")
        yield from targets.check(node, key, trusted)
    yield from _empty_stacks(plain.get("model"), "model")


def _empty_stacks(node: Any, path: str) -> Iterator[str]:
    if isinstance(node, dict):
        if "layers" in node and not node["layers"] and node["layers"] is not UNKNOWN:
            yield f"{path}.layers: there are no layers; give at least one, name: {{_target_: …}}"
        for key, value in node.items():
            yield from _empty_stacks(value, f"{path}.{key}")
