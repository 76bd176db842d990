"""A model card reads as Markdown whatever names it is given, and stays short."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.analysis.classification import ClassScores
from pipeline.analysis.model_card import MOST_CLASSES, Data, ModelCard

CARD = ModelCard(
    title="digits: layers.Stack",
    summary="Tells apart the 2 classes of digits.",
    facts={"run": "`abc`"},
    inputs="`inputs`",
    outputs="probabilities",
    data=Data("digits", "1.0.0", "f00", "Digits.", "", "", [("test", "test[:5|]", 1200, "aa")]),
    training={"seed": "0"},
    columns=("layer", "output"),
    architecture=[("hidden", "[batch, 2]")],
    size="12 parameters",
    metrics={"train/loss": 0.1, "val/loss": 0.25, "test/loss": 0.5, "test/accuracy": 0.75},
    scores=[ClassScores("a|b", 1.0, 0.5, 2 / 3, 3), ClassScores("c\nd", 0.5, 1.0, 2 / 3, 1)],
    confused=[("a|b", "c", 2, 3)],
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


@pytest.mark.parametrize("classes", [MOST_CLASSES, MOST_CLASSES + 1, 1000])
def test_of_many_classes_the_weakest_are_named(classes: int) -> None:
    scores = [ClassScores(f"class {i}", 1.0, 1.0, i / classes, 1) for i in range(classes)][::-1]
    text = replace(CARD, scores=scores).markdown()
    named = [row[0] for row in rows(text) if row[0].startswith("class ")]
    assert len(named) == MOST_CLASSES
    if classes > MOST_CLASSES:
        assert named == [f"class {i}" for i in range(MOST_CLASSES)]
        assert f"The {MOST_CLASSES} classes of lowest F1" in text
