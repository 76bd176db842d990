"""What there is to say of a model by its task: for a model card. Plain values in, text out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from pipeline.analysis.classification import ClassScores, macro
from pipeline.analysis.multi_label import LabelScores
from pipeline.analysis.regression import TargetScores

MOST = 30  # classes, labels or targets that have a row; the tables of the run have them all
Confused = Sequence[tuple[str, str, int, int]]
Scores = TypeVar("Scores", ClassScores, LabelScores)


@dataclass(frozen=True)
class Account:
    """What a card says of the task.

    Attributes:
        summary: a sentence: what the model does.
        outputs: what it answers.
        columns, rows: a table of scores; none where there is no column.
        remarks: lines below the table.
        limits: what it cannot do, a line each.
    """

    summary: str
    outputs: str
    columns: tuple[str, ...] = ()
    rows: Sequence[Sequence[str]] = ()
    remarks: Sequence[str] = ()
    limits: Sequence[str] = ()


def of_classes(
    name: str, outputs: str, scores: Sequence[ClassScores], confused: Confused, looked_at: str = ""
) -> Account:
    """Of a classifier.

    Args:
        name: of the dataset; outputs: the shape of what is answered.
        confused: truth, predicted, how often, examples of the truth.
        looked_at: of which examples the table is, where it is not of all.
    """
    total = macro(scores)
    one = 100 / max(total.support, 1)
    shown = _weakest(scores)
    return Account(
        summary=f"Tells apart the {len(scores)} classes of {name}: "
        f"{few([s.name for s in scores])}.",
        outputs=f"{outputs}: the probability of each class.",
        columns=("class", "precision", "recall", "F1", "examples"),
        rows=[
            (s.name, f"{s.precision:.4f}", f"{s.recall:.4f}", f"{s.f1:.4f}", f"{s.support:,}")
            for s in [*shown, total]
        ],
        remarks=[
            f"The table is of {looked_at}."
            if looked_at
            else f"The test split has {total.support:,} examples; one is {one:.2g} points of "
            "accuracy.",
            *_left_out(shown, scores, "classes of lowest F1", "classes.csv"),
            "Pictures: `test/confusion.png` and, of misclassified images, `test/worst.png`.",
        ],
        limits=[
            f"It names one of its {len(scores)} classes for whatever it is given.",
            *(f"`{a}` is taken for `{b}` {n} of {of:,} times." for a, b, n, of in confused),
        ],
    )


def of_labels(
    name: str, outputs: str, scores: Sequence[LabelScores], threshold: float, looked_at: str = ""
) -> Account:
    """Of a model that says of each label whether it holds; see ``of_classes``."""
    shown = _weakest(scores)
    return Account(
        summary=f"Says which of the {len(scores)} labels of {name} hold: "
        f"{few([s.name for s in scores])}.",
        outputs=f"{outputs}: the probability of each label, whatever the others are.",
        columns=("label", "precision", "recall", "F1", "AUC", "examples"),
        rows=[
            (s.name, *(f"{v:.4f}" for v in (s.precision, s.recall, s.f1, s.auc)), f"{s.support:,}")
            for s in shown
        ],
        remarks=[
            *_of(looked_at),
            f"A label is taken to hold where its probability is above {threshold:g}.",
            *_left_out(shown, scores, "labels of lowest F1", "labels.csv"),
        ],
        limits=["It knows its labels and no others: none of them may be the right answer."],
    )


def of_targets(
    name: str, outputs: str, scores: Sequence[TargetScores], ahead: int = 0, looked_at: str = ""
) -> Account:
    """Of a regression; see ``of_classes``.

    Args:
        ahead: of a forecast, how many steps.
    """
    shown = scores[:MOST]
    what = few([s.name for s in scores]) if not ahead else f"{ahead} step(s) ahead, at each step"
    units = "the units of the target"
    return Account(
        summary=f"Predicts {name}: {what}.",
        outputs=f"{outputs}, in {units}.",
        columns=("target", "MAE", "RMSE", "R²", "mean of the truth", "its deviation"),
        rows=[
            (s.name, *(f"{v:.6g}" for v in (s.mae, s.rmse, s.r2, s.mean, s.deviation)))
            for s in shown
        ],
        remarks=[
            *_of(looked_at),
            f"In {units}; who always says the mean has an RMSE of its deviation.",
            *_left_out(shown, scores, "first targets", "targets.csv"),
            f"Pictures: `test/predicted.png`{' and `test/forecast.png`' if ahead else ''}; the "
            "largest misses: `test/worst.csv`.",
        ],
        limits=["Of what it has not seen the like it gives a number too, and says not how sure."],
    )


def of_reconstructions(name: str, outputs: str, are_images: bool) -> Account:
    """Of a model that gives back its inputs."""
    picture = "`test/reconstructions.png`; the " if are_images else "The "
    return Account(
        summary=f"Gives back the inputs of {name}, through what the model is narrow enough for.",
        outputs=f"{outputs}: the inputs as preprocessing makes them, reconstructed.",
        remarks=[f"{picture}worst of them: `test/worst.csv`."],
        limits=[
            "A small error says that an input is like those of training, not that it is right."
        ],
    )


def of_tokens(name: str, outputs: str, tokens: int | None, written: bool) -> Account:
    """Of a language model."""
    return Account(
        summary=f"Predicts the next of {tokens:,} tokens in text like {name}."
        if tokens
        else f"Predicts the next token of {name}.",
        outputs=f"{outputs}: the probability of each token to be the next.",
        remarks=["What it writes: `test/generated.txt`, and on the way `samples/`."]
        if written
        else [],
        limits=["It writes what is likely after what it was given, be it true or not."],
    )


def few(names: Sequence[str], most: int = 20) -> str:
    """The first of them, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _of(looked_at: str) -> list[str]:
    return [f"The table is of {looked_at}."] if looked_at else []


def _weakest(scores: Sequence[Scores]) -> Sequence[Scores]:
    if len(scores) <= MOST:
        return scores
    return sorted(scores, key=lambda score: score.f1)[:MOST]


def _left_out(shown: Sequence[object], every: Sequence[object], which: str, file: str) -> list[str]:
    if len(shown) == len(every):
        return []
    return [f"The {len(shown)} {which}; all are in `test/{file}`."]
