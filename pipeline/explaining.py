"""What a finished run leaves beside its numbers: what its model makes of the test split
(``showing/``), and a model card. They are artifacts of the run, in ``test/`` and
``model_card.md``."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from pipeline.analysis.accounts import Account
from pipeline.analysis.model_card import Data, ModelCard
from pipeline.assembly import Assembly, flat
from pipeline.data.prepared import Prepared
from pipeline.data.source import Source
from pipeline.errors import StoreError
from pipeline.recording import Recorder, architecture, buckets, requirements
from pipeline.showing import show
from pipeline.strategy import device_names
from pipeline.tracking.location import options, shown
from pipeline.tracking.tracker import Tracker

CARD = "model_card.md"
# What of the config tells trainings apart; the card has them by these keys.
TOLD = (
    "seed",
    "objective.metric",
    "objective.mode",
    "optimizer._target_",
    "optimizer.learning_rate",
    "schedule._target_",
    "task._target_",
    "task.label_smoothing",
    "task.loss",
    "task.standardize",
    "dataset.frame._target_",
    "dataset.frame.length",
    "dataset.frame.horizon",
    "trainer.batch_size",
    "trainer.duration",
    "trainer.average",
    "trainer.precision",
)


def explain(
    recorder: Recorder,
    answers: np.ndarray | None,
    metrics: Mapping[str, float],
    overrides: Sequence[str],
) -> None:
    """Keep tables, pictures, text and the card of a model with its run.

    Args:
        answers: what the exported model gives to each example of the test split, where it is known.
        metrics: ``val/…`` and ``test/…`` of the exported weights.
        overrides: what was said on the command line.

    Raises:
        StoreError: the disk is full.
    """
    parts, tracker = recorder.parts, recorder.tracker
    if not isinstance(tracker, Tracker):
        return
    with _kept(tracker) as folder:
        account = show(parts, folder, answers=answers)
    tracker.text(_card(tracker, parts, metrics, account, overrides).markdown(), CARD)


@contextmanager
def _kept(tracker: Tracker) -> Iterator[Path]:
    """A folder whose files, if there are any, become the run's ``test/``."""
    try:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "test"
            folder.mkdir()
            yield folder
            if any(folder.iterdir()):
                tracker.file(folder, "test")
    except OSError as error:
        raise StoreError(
            f"tables and pictures of the test split cannot be written to {tempfile.gettempdir()}: "
            f"{error.strerror or error}. Make room, and resume={tracker.run_id} makes them."
        ) from error


def _card(
    tracker: Tracker,
    parts: Assembly,
    metrics: Mapping[str, float],
    account: Account,
    overrides: Sequence[str],
) -> ModelCard:
    source, prepared, config = parts.source, parts.prepared, flat(parts.config)
    columns, layers, size = architecture(parts.model)
    steps, plan = parts.trainer.current_step, parts.plan
    return ModelCard(
        title=f"{parts.config.tracking.experiment}: {parts.config.model._target_}",
        account=account,
        facts={
            "run": f"`{tracker.run_id}`",
            "weights": f"of step {steps:,}; the best is chosen by the "
            f"{'highest' if plan.maximise else 'lowest'} `{plan.metric}`"
            + (f"; moving average, {parts.config.trainer.average:g}" if parts.average else ""),
            "layers": size,
            **({"batches": f"cut to one length; {cut}"} if (cut := buckets(parts)) else {}),
            "trained on": ", ".join(device_names(parts.strategy)),
            "made with": ", ".join(requirements()),
            "code, packages, machine": "the run's artifacts `surroundings/`",
        },
        inputs=f"{source.told()} an example, as the dataset stores them; preprocessing is part of "
        "the model.",
        data=Data(
            source.name,
            source.version,
            prepared.digests(),
            " ".join(source.description.split()),
            source.homepage,
            _licences(source),
            [split for role in ("train", "validation", "test") for split in _sets(prepared, role)],
        ),
        training={
            key: str(config[key])
            for key in [*TOLD, *(key for key in config if key.startswith("dataset.mix."))]
            if config.get(key) is not None
        },
        columns=columns,
        architecture=layers,
        size=size,
        metrics=metrics,
        commands=_commands(tracker, overrides),
    )


def _sets(prepared: Prepared, role: str) -> Iterator[tuple[str, str, int, str]]:
    """Role, name, examples and digest of each set that a split is made of."""
    sizes, digests = prepared.sizes_of_sets(role), prepared.digests_of_sets(role)
    for name, one in prepared.source.sets(role).items():
        of = f"{one.full_name} {one.named(role)}" if name else one.named(role)
        yield role, of, sizes[name], digests[name]


def _licences(source: Source) -> str:
    """Of the dataset and of what is mixed in."""
    further = {name: one for name, one in source.sets("train").items() if name}
    told = [f"{one.name}: {one.license}" for one in further.values() if one.license]
    return "; ".join([source.license, *told] if source.license else told)


def _commands(tracker: Tracker, overrides: Sequence[str]) -> dict[str, str]:
    run, store = tracker.run_id, " ".join(options(tracker.store.location))
    address = shlex.quote(shown(tracker.store.location))

    def verb(words: str) -> str:
        return f"python -m pipeline.{words} {store}".rstrip()

    return {
        f"Asked for with `{shlex.join(overrides) or 'the defaults'}`; train it again, to the same "
        "bits": verb(f"reproduce {run} --check"),
        "Repeat the scores": verb(f"evaluate run={run} split=test"),
        "As a SavedModel, and in the registry": verb(f"export run={run}"),
        "Serve it": f"MLFLOW_TRACKING_URI={address} python -m mlflow models serve "
        f"-m runs:/{run}/model --env-manager local --port 5001",
    }
