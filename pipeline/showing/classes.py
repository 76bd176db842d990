"""What a classifier takes for what, and which labels a model finds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.analysis import accounts, classification, multi_label
from pipeline.analysis.accounts import Account
from pipeline.analysis.classification import Mistake
from pipeline.assembly import Assembly
from pipeline.showing.predictions import count, first, looked_at, outputs, predicted

MOST_CLASSES = 5000  # beyond, the confusion matrix alone would take gigabytes
MISTAKES = 24  # that are listed and drawn


def show_classes(
    parts: Assembly, folder: Path, role: str, answers: np.ndarray | None = None
) -> Account:
    """Tables and pictures of one class an example; see ``show``."""
    name, names = parts.source.name, parts.source.class_names
    if len(names) > MOST_CLASSES:
        return Account(
            summary=f"Tells apart the {len(names):,} classes of {name}.",
            outputs=f"{outputs(parts)}: the probability of each class.",
            remarks=[f"No tables: {len(names):,} classes are too many."],
        )
    if answers is not None:
        labels = parts.source.split(role).labels
    else:
        labels, answers = predicted(parts, first(parts, role))
    matrix = classification.confusion(labels, answers.argmax(1), len(names))
    found = classification.mistakes(labels, answers, MISTAKES)
    scores = classification.class_scores(matrix, names)
    tables = {
        "confusion.csv": classification.confusion_csv(matrix, names),
        "classes.csv": classification.scores_csv(scores),
        "worst.csv": classification.mistakes_csv(found, names),
    }
    for file, text in tables.items():
        (folder / file).write_text(text, "utf-8")
    _draw(parts, folder, role, matrix, found)
    confused = classification.confused(matrix, names)
    where = looked_at(parts, role, len(labels))
    return accounts.of_classes(name, outputs(parts), scores, confused, where)


def show_labels(parts: Assembly, folder: Path, role: str, threshold: float) -> Account:
    """A table of any labels an example; see ``show``."""
    truth, answers = predicted(parts, first(parts, role))
    scores = multi_label.label_scores(truth, answers, parts.data.names, threshold)
    (folder / "labels.csv").write_text(multi_label.scores_csv(scores), "utf-8")
    where = looked_at(parts, role, len(truth))
    return accounts.of_labels(parts.source.name, outputs(parts), scores, threshold, where)


def _draw(
    parts: Assembly, folder: Path, role: str, matrix: np.ndarray, found: Sequence[Mistake]
) -> None:
    from pipeline.analysis.pictures import confusion_picture, is_drawable, mistakes_picture

    split, every = str(getattr(parts.source.config.splits, role)), int(matrix.sum())
    wrong = every - int(np.trace(matrix))
    of = f"of {every:,}" if every == count(parts, role) else f"of the first {every:,}"
    title = f"{parts.source.name}, {split}: {wrong:,} {of} misclassified"
    confusion_picture(matrix, parts.source.class_names, title).save(folder / "confusion.png")
    spec = parts.source.inputs
    shape = None if isinstance(spec, dict) else spec.shape
    if not found or shape is None or not shape.is_fully_defined() or not is_drawable(shape):
        return
    images = _images(parts, role, np.array([mistake.index for mistake in found]))
    shown = f"{title}, the {len(found)} of highest loss" if len(found) < wrong else title
    picture = mistakes_picture(images, found, parts.source.class_names, shown)
    picture.save(folder / "worst.png")


def _images(parts: Assembly, role: str, indices: np.ndarray) -> Any:
    """Images as the dataset stores them."""
    if parts.prepared.is_streamed(role):
        return parts.prepared.reader(role).stored(indices).inputs
    return tf.nest.map_structure(lambda x: x[indices], parts.source.split(role).inputs)
