"""A model card reads as Markdown whatever names it is given, and stays short."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.analysis.accounts import (
    MOST,
    Account,
    of_classes,
    of_labels,
    of_reconstructions,
    of_targets,
    of_tokens,
)
from pipeline.analysis.classification import ClassScores
from pipeline.analysis.model_card import Data, ModelCard
from pipeline.analysis.multi_label import LabelScores
from pipeline.analysis.regression import TargetScores

SCORES = [ClassScores("a|b", 1.0, 0.5, 2 / 3, 3), ClassScores("c\nd", 0.5, 1.0, 2 / 3, 1)]
CARD = ModelCard(
    title="digits: layers.Stack",
    account=of_classes("digits", "`[examples, 2]` float32", SCORES, [("a|b", "c", 2, 3)]),
    facts={"run": "`abc`"},
    inputs="`inputs`",
    data=Data("digits", "1.0.0", "f00", "Digits.", "", "", [("test", "test[:5|]", 1200, "aa")]),
    training={"seed": "0"},
    columns=("layer", "output"),
    architecture=[("hidden", "[batch, 2]")],
    size="12 parameters",
    metrics={"train/loss": 0.1, "val/loss": 0.25, "test/loss": 0.5, "test/accuracy": 0.75},
    commands={"Train it again": "python -m pipeline.reproduce abc --check"},
)


def rows(text: str) -> list[list[str]]:
    """The cells of all tables."""
    lines = [line.replace("\\|", "¦") for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_scores_stand_side_by_side_and_what_is_not_known_is_left_out() -> None:
    found = rows(CARD.markdown())
    assert ["loss", "0.25", "0.5"] in found
    assert ["accuracy", "", "0.75"] in found
    assert ["a¦b", "1.0000", "0.5000", "0.6667", "3"] in found
    assert ["mean of classes", "0.7500", "0.7500", "0.6667", "4"] in found
    assert not any("0.1" in row for row in found)  # of training
    assert "The test split has 4 examples; one is 25 points of accuracy." in CARD.markdown()


def test_no_name_breaks_a_table() -> None:
    text = CARD.markdown()
    assert ["c d", "0.5000", "1.0000", "0.6667", "1"] in rows(text)
    assert ["test", "`test[:5¦]`", "1,200", "`aa`"] in rows(text)
    assert "- `a|b` is taken for `c` 2 of 3 times." in text
    assert "```bash\npython -m pipeline.reproduce abc --check\n```" in text


@pytest.mark.parametrize("classes", [MOST, MOST + 1, 1000])
def test_of_many_classes_the_weakest_are_named(classes: int) -> None:
    scores = [ClassScores(f"class {i}", 1.0, 1.0, i / classes, 1) for i in range(classes)][::-1]
    text = replace(CARD, account=of_classes("many", "", scores, [])).markdown()
    named = [row[0] for row in rows(text) if row[0].startswith("class ")]
    assert len(named) == MOST
    if classes > MOST:
        assert named == [f"class {i}" for i in range(MOST)]
        assert f"The {MOST} classes of lowest F1; all are in `test/classes.csv`." in text


LABELS = [LabelScores("wet", 0.5, 0.25, 1 / 3, 0.75, 8)]
TARGETS = [TargetScores("price", 1.5, 2.0, 0.75, 10.0, 4.0)]


@pytest.mark.parametrize(
    ("account", "row", "said"),
    [
        (
            of_labels("tagged", "`[examples, 1]` float32", LABELS, 0.4),
            ["wet", "0.5000", "0.2500", "0.3333", "0.7500", "8"],
            ("Says which of the 1 labels of tagged hold: wet.", "probability is above 0.4"),
        ),
        (
            of_targets("diamonds", "`[examples, 1]` float32", TARGETS),
            ["price", "1.5", "2", "0.75", "10", "4"],
            ("Predicts diamonds: price.", "float32, in the units of the target", "predicted.png`;"),
        ),
        (
            of_targets("sunspots", "", TARGETS, ahead=3, looked_at="the first 5 of 9 examples"),
            ["price", "1.5", "2", "0.75", "10", "4"],
            ("3 step(s) ahead", "The table is of the first 5 of 9 examples.", "forecast.png"),
        ),
        (
            of_reconstructions("digits", "`[examples, 8, 8, 1]` float32", True),
            None,
            ("Gives back the inputs of digits", "test/reconstructions.png", "test/worst.csv"),
        ),
        (
            of_tokens("prose", "`[examples, 93]` float32", 93, True),
            None,
            ("the next of 93 tokens", "probability of each token", "test/generated.txt"),
        ),
    ],
)
def test_each_task_says_what_it_does(
    account: Account, row: list[str] | None, said: tuple[str, ...]
) -> None:
    text = replace(CARD, account=account).markdown()
    assert row is None or row in rows(text)
    for part in said:
        assert part in text
    assert "classes" not in text
    assert f"- {account.limits[0]}" in text
