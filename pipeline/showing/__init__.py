"""What a model makes of a split, for people to look at: tables, pictures and text, by its task."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.analysis.accounts import Account
from pipeline.assembly import Assembly
from pipeline.showing.classes import show_classes, show_labels
from pipeline.showing.images import show_reconstructions
from pipeline.showing.numbers import show_numbers
from pipeline.showing.predictions import outputs
from pipeline.showing.text import Writer, show_text
from pipeline.training.tasks import (
    Classification,
    LanguageModel,
    MultiLabel,
    Reconstruction,
    Regression,
)

__all__ = ["Writer", "show"]


def show(
    parts: Assembly,
    folder: Path,
    role: str = "test",
    answers: np.ndarray | None = None,
) -> Account:
    """Write files into ``folder``; none for a task that nothing is known of.

    - classification: ``confusion.csv``, ``classes.csv``, ``worst.csv``, ``confusion.png``; of
      images ``worst.png``.
    - multi-label: ``labels.csv``.
    - regression: ``targets.csv``, ``worst.csv`` and ``predicted.png``; of windows ``forecast.png``.
    - reconstruction: ``worst.csv``; of images ``reconstructions.png``.
    - language model: ``generated.txt``.

    Args:
        answers: what the model answers to each example of the split, where it is known.

    Returns:
        What there is to say of the model.
    """
    task = parts.task
    if isinstance(task, Classification):
        return show_classes(parts, folder, role, answers)
    if isinstance(task, MultiLabel):
        return show_labels(parts, folder, role, task.threshold)
    if isinstance(task, Regression):
        return show_numbers(parts, folder, role)
    if isinstance(task, Reconstruction):
        return show_reconstructions(parts, folder, role)
    if isinstance(task, LanguageModel):
        return show_text(parts, folder, role)
    return Account(
        summary=f"{type(task).__name__} of {parts.source.name}: {task.wanted(parts.data)}.",
        outputs=outputs(parts),
    )
