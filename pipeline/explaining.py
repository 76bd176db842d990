"""What a finished run leaves beside its numbers: tables and pictures of the test split, and a model
card of a classifier. They are artifacts of the run, in ``test/`` and ``model_card.md``."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from pipeline.analysis import classification
from pipeline.analysis.model_card import Data, ModelCard
from pipeline.assembly import Assembly, flat
from pipeline.errors import StoreError
from pipeline.recording import Recorder, architecture, requirements
from pipeline.showing import show
from pipeline.strategy import device_names
from pipeline.tracking.location import options, shown
from pipeline.tracking.tracker import Tracker
from pipeline.training.tasks import Classification

MOST_CLASSES = 5000  # beyond, the confusion matrix alone would take gigabytes
MISTAKES = 24  # that are listed and drawn
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
    """Keep tables, pictures and the card of a classifier with its run; of other tasks what
    ``showing.py`` has to show.

    Args:
        answers: of a classifier ``[examples, classes]``, the probabilities that the exported model
            gives to the test split.
        metrics: ``val/…`` and ``test/…`` of the exported weights.
        overrides: what was said on the command line.

    Raises:
        StoreError: the disk is full.
    """
    parts, tracker = recorder.parts, recorder.tracker
    if not isinstance(tracker, Tracker):
        return
    if not isinstance(parts.task, Classification):
        with _kept(tracker) as folder:
            show(parts, folder)
        return
    if answers is None:
        return
    names, labels = parts.source.class_names, parts.source.split("test").labels
    if len(names) > MOST_CLASSES:
        recorder.console.line(f"no tables and no card: {len(names):,} classes are too many")
        return
    matrix = classification.confusion(labels, answers.argmax(1), len(names))
    found = classification.mistakes(labels, answers, MISTAKES)
    scores = classification.class_scores(matrix, names)
    tables = {
        "confusion.csv": classification.confusion_csv(matrix, names),
        "classes.csv": classification.scores_csv(scores),
        "worst.csv": classification.mistakes_csv(found, names),
    }
    with _kept(tracker) as folder:
        for name, text in tables.items():
            (folder / name).write_text(text, "utf-8")
        _draw(folder, parts, matrix, found)
    card = _card(tracker, parts, metrics, scores, classification.confused(matrix, names), overrides)
    tracker.text(card.markdown(), CARD)


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


def _draw(
    folder: Path,
    parts: Assembly,
    matrix: np.ndarray,
    found: Sequence[classification.Mistake],
) -> None:
    from pipeline.analysis.pictures import confusion_picture, is_drawable, mistakes_picture

    names, split = parts.source.class_names, parts.source.split("test")
    wrong = int(matrix.sum() - np.trace(matrix))
    title = f"{parts.source.name}, {split.name}: {wrong:,} of {len(split):,} misclassified"
    confusion_picture(matrix, names, title).save(folder / "confusion.png")
    inputs = split.inputs
    if isinstance(inputs, np.ndarray) and is_drawable(inputs.shape[1:]):
        shown = f"{title}, the {len(found)} of highest loss" if len(found) < wrong else title
        images = inputs[[mistake.index for mistake in found]]
        mistakes_picture(images, found, names, shown).save(folder / "worst.png")


def _card(
    tracker: Tracker,
    parts: Assembly,
    metrics: Mapping[str, float],
    scores: Sequence[classification.ClassScores],
    confused: Sequence[tuple[str, str, int, int]],
    overrides: Sequence[str],
) -> ModelCard:
    source, prepared, config = parts.source, parts.prepared, flat(parts.config)
    columns, layers, size = architecture(parts.model)
    steps, plan = parts.trainer.current_step, parts.plan
    return ModelCard(
        title=f"{parts.config.tracking.experiment}: {parts.config.model._target_}",
        summary=f"Tells apart the {source.classes} classes of {source.name}: "
        f"{_few(source.class_names)}.",
        facts={
            "run": f"`{tracker.run_id}`",
            "weights": f"of step {steps:,}; the best is chosen by the "
            f"{'highest' if plan.maximise else 'lowest'} `{plan.metric}`"
            + (f"; moving average, {parts.config.trainer.average:g}" if parts.average else ""),
            "layers": size,
            "trained on": ", ".join(device_names(parts.strategy)),
            "made with": ", ".join(requirements()),
            "code, packages, machine": "the run's artifacts `surroundings/`",
        },
        inputs=f"{source.told()} an example, as the dataset stores them; preprocessing is part of "
        "the model.",
        outputs=f"`[examples, {source.classes}]` float32: the probability of each class.",
        data=Data(
            source.name,
            source.version,
            prepared.digests(),
            " ".join(source.description.split()),
            source.homepage,
            source.license,
            [
                (role, getattr(source.config.splits, role), prepared.size(role), digest)
                for role in ("train", "validation", "test")
                for digest in [prepared.digest(role)]
            ],
        ),
        training={key: str(config[key]) for key in TOLD if config.get(key) is not None},
        columns=columns,
        architecture=layers,
        size=size,
        metrics=metrics,
        scores=scores,
        confused=confused,
        commands=_commands(tracker, overrides),
    )


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


def _few(names: Sequence[str], most: int = 20) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
