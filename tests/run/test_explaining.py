"""What a finished classification run leaves beside its numbers, held against the exported model."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.slow  # whole runs

SHORT = ("+experiment=digits", "trainer.duration=4 epochs", "trainer.compile=off")


@pytest.fixture(scope="module")
def result(fit):
    return fit(*SHORT)


@pytest.fixture(scope="module")
def exported(result, root: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The run as ``pipeline.export`` leaves it."""
    from pipeline.composing import compose
    from pipeline.export import export

    folder = tmp_path_factory.mktemp("exported") / "1"
    words = [f"run={result.run_id}", f"to={folder}", f"tracking.root={root}"]
    return export(compose("export", [*words, "name=explained", "alias=champion"]))


@pytest.fixture(scope="module")
def answered(exported: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The test split, and what the SavedModel says to it: inputs, labels, probabilities."""
    import tensorflow as tf

    from pipeline.data import source
    from pipeline.train import compose

    split = source.load(compose("train", ["+experiment=digits"]).dataset).split("test")
    model = tf.saved_model.load(str(exported.folder))
    return split.inputs, split.labels, model(split.inputs).numpy()


def table(store: Any, run_id: str, name: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(store.text(run_id, f"test/{name}.csv"))))


def test_confusion_and_classes_are_those_of_the_exported_model(result, store, answered) -> None:
    from sklearn import metrics

    _, labels, probabilities = answered
    predicted = probabilities.argmax(1)
    matrix = np.array([row[1:] for row in table(store, result.run_id, "confusion")[1:]], int)
    assert np.array_equal(matrix, metrics.confusion_matrix(labels, predicted))
    assert np.trace(matrix) / 360 == pytest.approx(result.metrics["test/accuracy"], abs=1e-9)
    rows = np.array([row[1:] for row in table(store, result.run_id, "classes")[1:-1]], float)
    theirs = metrics.precision_recall_fscore_support(labels, predicted, zero_division=0)
    np.testing.assert_allclose(rows.T, np.array(theirs), atol=5e-7)


def test_worst_examples_have_the_highest_losses_of_all_mistakes(result, store, answered) -> None:
    _, labels, probabilities = answered
    losses = -np.log(probabilities[np.arange(360), labels].astype(np.float64))
    wrong = np.flatnonzero(probabilities.argmax(1) != labels)
    expected = wrong[np.argsort(-losses[wrong])][:24]
    rows = table(store, result.run_id, "worst")[1:]
    assert [int(row[0]) for row in rows] == expected.tolist()
    assert [int(row[1]) for row in rows] == labels[expected].tolist()
    np.testing.assert_allclose([float(row[5]) for row in rows], losses[expected], rtol=1e-4)


def test_pictures_are_pngs_of_their_kind(result, store, tmp_path: Path, answered) -> None:
    from PIL import Image

    inputs, *_ = answered
    worst = Image.open(store.download(result.run_id, "test/worst.png", tmp_path))
    assert worst.format == "PNG"
    first = int(table(store, result.run_id, "worst")[1][0])
    shown = np.asarray(worst.convert("L"))[48 : 48 + 112, 12 : 12 + 112][7::14, 7::14]
    np.testing.assert_allclose(shown, inputs[first, ..., 0] * (255 / 16), atol=1)
    confusion = Image.open(store.download(result.run_id, "test/confusion.png", tmp_path))
    assert confusion.format == "PNG"
    assert min(confusion.size) > 400


def test_card_says_what_the_run_knows(result, store) -> None:
    card = store.text(result.run_id, "model_card.md")
    run = store.recorded(result.run_id)
    for text in (
        result.run_id,
        run.tags["dataset.digest"],
        run.tags["digest/test"],
        "digits 1.0.0",
        "| train | `train` | 1,167 |",
        "| `optimizer.learning_rate` | `0.003` |",
        "| hidden | Dense | [batch, 256] | 16,640 | 16,640 | float32 | 16,384 |",
        "19,210 parameters in all",
        f"| {result.metrics['test/accuracy']:.6g} |\n",
        f"| accuracy | {result.objective:.6g} |",
        "trainer.duration=4 epochs",
        f"pipeline.reproduce {result.run_id} --check",
        f"runs:/{result.run_id}/model",
    ):
        assert text in card


def test_validation_scores_of_the_card_are_those_of_the_best_step(fit, store) -> None:
    """The last step is worse: the rate of its last two epochs is far too high."""
    run_id = fit(
        *SHORT,
        "schedule=piecewise",
        "schedule.boundaries=[2 epochs]",
        "schedule.factors=[1.0,300.0]",
        "trainer.average=null",
    ).run_id
    points = {p.step: p.value for p in store.history(run_id, "val/loss")}
    best = max(store.history(run_id, "val/accuracy"), key=lambda p: (p.value, -p.step)).step
    assert best < 72
    card = store.text(run_id, "model_card.md")
    assert f"of step {best};" in card
    assert f"| loss | {points[best]:.6g} |" in card


def test_exported_run_is_the_champion_with_its_example(exported: Any, answered) -> None:
    inputs, *_ = answered
    assert exported.registered.verdict.given
    request = json.loads((exported.folder / "example.json").read_text())
    assert np.array_equal(np.array(request["inputs"]), inputs[:8])
    assert (exported.folder / "model_card.md").read_text().startswith("# digits: layers.Stack")


def test_inputs_that_are_no_images_have_tables_and_no_picture(fit, store) -> None:
    import tensorflow_datasets as tfds

    from pipeline.errors import StoreError

    class Rows(tfds.core.GeneratorBasedBuilder):
        """Rows of four numbers; the class is which of the first two is larger."""

        VERSION = tfds.core.Version("1.0.0")
        NEEDS_NO_DOWNLOAD = True

        def _info(self) -> tfds.core.DatasetInfo:
            features = {
                "row": tfds.features.Tensor(shape=(4,), dtype=np.float32),
                "label": tfds.features.ClassLabel(names=["first, of course", "second"]),
            }
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features)
            )

        def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
            return {
                "train": self._generate_examples(0, 200),
                "test": self._generate_examples(1, 50),
            }

        def _generate_examples(self, seed: int, count: int) -> Any:
            rows = np.random.default_rng(seed).normal(size=[count, 4]).astype(np.float32)
            for key, row in enumerate(rows):
                yield key, {"row": row, "label": int(row[1] > row[0])}

    run_id = fit(
        *SHORT,
        "trainer.duration=1 epoch",
        "trainer.batch_size=20",
        "dataset=tfds",
        "dataset.name=rows",
        "dataset.inputs=row",
        "dataset.classes=2",
        "~dataset.preprocess.scale",
    ).run_id
    files = {f.path for f in store.client.list_artifacts(run_id, "test")}
    assert "test/worst.png" not in files
    assert {"test/worst.csv", "test/confusion.png", "test/classes.csv"} <= files
    assert table(store, run_id, "confusion")[0][1:] == ["first, of course", "second"]
    with pytest.raises(StoreError):
        store.text(run_id, "test/worst.png")
