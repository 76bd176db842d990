"""``python -m pipeline.export run=<id>``: the trained model for others, as files and by a name.

    python -m pipeline.export run=latest
    python -m pipeline.export run=<id of a sweep> name=digits --alias champion
    python -m pipeline.export run=<id> to=models/digits/1

Writes TensorFlow's SavedModel, an example request and the model card into a new folder, and makes
the model a version in MLflow's registry. Of a sweep the best trial is taken.

--alias NAME  give this version the alias, if it beats the version that holds it: better in the
              test metric of the objective (val/accuracy: test/accuracy), on the same data; else
              exit with 1 and say by how much it does not
--anyway      give it also where the two cannot be compared: other data, another metric
"""

from __future__ import annotations

import errno
import json
import os
import re
import shlex
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf

from pipeline import tracking
from pipeline.cli import verb
from pipeline.composing import compose
from pipeline.console import Console
from pipeline.errors import ConfigError, StoreError, did_you_mean

if TYPE_CHECKING:
    from pipeline.tracking.registry import Candidate, Registered
    from pipeline.tracking.store import RecordedRun, Store

FLAGS = ("--alias", "--anyway")
CARD, EXAMPLE = "model_card.md", "example.json"
SERVING_EXAMPLE = "serving_input_example.json"  # MLflow's name for it, in a logged model
PORT = 5001  # of the printed commands; pipeline.ui has 5000


@dataclass(frozen=True)
class Export:
    """Where a model went."""

    run_id: str
    folder: Path
    name: str
    registered: Registered


def export(config: DictConfig) -> Export:
    """Write the model of ``config.run`` to a folder and register it.

    Args:
        config: as ``compose("export", ["run=<id>"])`` returns it.

    Raises:
        UserError: no such run, one without a model, a folder that is taken, names that MLflow does
            not take.
    """
    if OmegaConf.is_missing(config, "run"):
        raise ConfigError("run: give the id of a run or of a sweep, run=<id>, or run=latest")
    if config.tracking.kind == "off":
        raise ConfigError("tracking=off keeps no runs: there is none to export.")
    _check_names(config)
    store = tracking.open_store(config.tracking, existing=True)

    from pipeline.tracking.registry import Registry

    run = _chosen(store, str(config.run))
    candidate = _candidate(store, run)
    if config.to:
        folder = Path(config.to).expanduser()
        _write(store, candidate, folder)
    else:
        folder = Path(config.tracking.root) / "exported" / candidate.model_id
        with suppress(ConfigError):  # a model never changes: what is there is this one
            _write(store, candidate, folder)
    name = config.name or re.sub(r"[/:]", "-", run.experiment)
    registered = Registry(store).register(name, candidate, config.alias, config.anyway)
    return Export(run.run_id, folder, name, registered)


def _check_names(config: DictConfig) -> None:
    name, alias = config.name, config.alias
    if name is not None and (not name.strip() or re.search(r"[/:]", name)):
        raise ConfigError(f"name={name}: a name in MLflow's registry is not empty, without / or :")
    if alias is None:
        return
    if not re.fullmatch(r"[\w-]+", alias, re.ASCII):
        raise ConfigError(f"alias={alias}: MLflow takes letters, digits, _ and -")
    if re.fullmatch(r"latest|v\d+", alias, re.IGNORECASE):
        raise ConfigError(f"alias={alias}: MLflow keeps latest, v1, v2 … for itself")


def _chosen(store: Store, asked: str) -> RecordedRun:
    """The run that is meant; of a sweep its best trial.

    Raises:
        StoreError: it has not come to its end, or was given up.
    """
    from pipeline.tracking import sweeps

    run = store.recorded(store.latest() if asked == "latest" else asked)
    if sweeps.SPACE_TAG in run.tags:
        return _best_trial(store, run)
    if run.status == "RUNNING":
        raise StoreError(
            f"run {run.run_id} is RUNNING: its model is exported when it has finished. If its "
            "process has died: python -m pipeline.doctor"
        )
    if run.status != "FINISHED":
        raise StoreError(
            f"run {run.run_id} is {run.status}, not FINISHED: it has no final model. Go on with "
            f"it: python -m pipeline.train resume={run.run_id}"
        )
    if reason := run.tags.get(sweeps.PRUNED_TAG):
        raise StoreError(
            f"run {run.run_id} was given up {reason}: it has no final model. Export another trial, "
            f"or the best: run={run.tags.get(sweeps.PARENT_TAG, '<id of the sweep>')}"
        )
    return run


def _best_trial(store: Store, parent: RecordedRun) -> RecordedRun:
    """The finished trial with the best of the objective; of several the one that came first."""
    from pipeline.tracking import sweeps

    metric = parent.params.get("objective.metric", "val/accuracy")
    sign = -1 if parent.params.get("objective.mode", "max") == "max" else 1
    trials = sweeps.one_each(sweeps.trials(store, parent.run_id))
    whole = [t for t in trials if t.done and not t.pruned and f"best/{metric}" in t.metrics]
    if not whole:
        raise StoreError(
            f"sweep {parent.run_id} has no trial to export: of {len(trials)} none has finished "
            f"with best/{metric}. Go on with it: python -m pipeline.train "
            f"sweep.resume={parent.run_id}"
        )
    best = min(whole, key=lambda trial: sign * trial.metrics[f"best/{metric}"])
    return store.recorded(best.run_id)


def _candidate(store: Store, run: RecordedRun) -> Candidate:
    from pipeline.tracking.models import Models
    from pipeline.tracking.registry import Candidate

    model = Models(store, run.run_id).final()
    if model is None:
        raise StoreError(
            f"run {run.run_id} has no exported model in {store.location.uri}. If it has not been "
            "delivered yet: python -m pipeline.doctor --apply"
        )
    objective = run.params.get("objective.metric", "val/accuracy")
    metric = f"test/{objective.rpartition('/')[2]}"
    return Candidate(
        run_id=run.run_id,
        model_id=model[0],
        location=model[1],
        metric=metric,
        value=run.metrics.get(metric),
        mode=run.params.get("objective.mode", "max"),
        dataset=run.tags.get("dataset.digest"),
        config=run.tags.get("digest/config"),
        objective=objective,
    )


def _write(store: Store, candidate: Candidate, folder: Path) -> None:
    """The SavedModel with example and card, whole or not at all.

    Raises:
        ConfigError: something is there already.
        StoreError: the files cannot be read, or not be written.
    """
    from pipeline.tracking.models import SAVED_MODEL, Models

    taken = ConfigError(f"to={folder} is there already. Give a new folder, or remove that one.")
    if folder.exists():
        raise taken
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".export-") as scratch:
            files = Models(store, candidate.run_id).download(
                candidate.model_id, Path(scratch) / candidate.model_id
            )
            saved = files / SAVED_MODEL
            if (files / SERVING_EXAMPLE).exists():
                example = json.loads((files / SERVING_EXAMPLE).read_text("utf-8"))
                (saved / EXAMPLE).write_text(json.dumps(example), "utf-8")
            if (card := _card(store, candidate.run_id)) is not None:
                (saved / CARD).write_text(card, "utf-8")
            try:
                os.replace(saved, folder)
            except OSError as error:
                if error.errno in (errno.ENOTEMPTY, errno.EEXIST):  # another process was quicker
                    raise taken from None
                raise
    except OSError as error:
        raise StoreError(
            f"to={folder} cannot be written: {error.strerror or error}. Give another folder."
        ) from error


def _card(store: Store, run_id: str) -> str | None:
    try:
        return store.text(run_id, CARD)
    except StoreError:  # of a run that is older than cards
        return None


# The command line --------------------------------------------------------------------------------


def overrides_of(words: Sequence[str]) -> list[str]:
    """The words of the command line with flags as overrides: ``--alias champion``, ``--anyway``.

    Raises:
        ConfigError: an unknown flag, or an alias without a name.
    """
    found: list[str] = []
    rest = iter(words)
    for word in rest:
        flag, equals, value = word.partition("=")
        if not word.startswith("-"):
            found.append(word)
        elif flag == "--alias":
            given = value if equals else next(rest, "")
            if not given or given.startswith("-"):
                raise ConfigError("--alias: give its name, --alias champion")
            found.append(f"alias={given}")
        elif word == "--anyway":
            found.append("anyway=true")
        else:
            raise ConfigError(f"{word}: there is no such flag. {did_you_mean(flag, FLAGS)}")
    return [_quoted(word) for word in found]


def _quoted(word: str) -> str:
    """``run=00123456`` is text, which Hydra would read as a number."""
    key, equals, value = word.partition("=")
    plain = key in ("run", "alias", "name") and re.fullmatch(r"[\w.-]+", value)
    return f"{key}{equals}'{value}'" if plain else word


def main(words: Sequence[str]) -> int:
    """Export, and print how to use it. Returns the exit code: 1 if an alias was not given."""
    config = compose("export", overrides_of(words))
    found = export(config)
    console = Console()
    console.facts(dict(_facts(config, found)))
    verdict = found.registered.verdict
    given = f" alias={config.alias}" if verdict and verdict.given else ""
    console.line(
        f"run_id={found.run_id} model={found.name} version={found.registered.version}{given}"
    )
    return 1 if verdict and not verdict.given else 0


def _facts(config: DictConfig, found: Export) -> Iterator[tuple[str, str]]:
    from pipeline.tracking.location import locate, shown

    version, verdict = found.registered.version, found.registered.verdict
    yield "run", found.run_id
    yield "SavedModel", str(found.folder)
    yield "registered", f"{found.name}, version {version}"
    if verdict is not None:
        yield f"@{config.alias}", ("given: " if verdict.given else "not given: ") + verdict.reason
    by = f"@{config.alias}" if verdict is not None and verdict.given else f"/{version}"
    command = (
        f"MLFLOW_TRACKING_URI={shlex.quote(shown(locate(config.tracking)))} python -m mlflow models"
    )
    model = shlex.quote(f"models:/{found.name}{by}")
    example = shlex.quote(str(found.folder / EXAMPLE))
    yield "predict", f"{command} predict -m {model} -i {example} -t json --env-manager local"
    yield "serve", f"{command} serve -m {model} --port {PORT} --env-manager local"
    yield (
        "ask",
        f"curl http://127.0.0.1:{PORT}/invocations -H 'Content-Type: application/json' "
        f"-d @{example}",
    )


if __name__ == "__main__":
    verb(main, __doc__)
