"""What a finished run shows of its test split, held against the model."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipeline.analysis import regression
from pipeline.assembly import Assembly, assemble
from pipeline.composing import compose
from pipeline.showing import Writer, show

pytestmark = pytest.mark.slow

SERIES = """
_target_: layers.Stack
layers:
  recurrent:
    _target_: layers.Recurrent
    cell: {_target_: layers.GRUCell, units: 4}
    return_sequences: true
  out: {_target_: layers.Dense, units: "${dataset.outputs}"}
"""
LETTERS = """
_target_: layers.Stack
layers:
  embed: {_target_: layers.Embedding, vocabulary: "${dataset.vocabulary}", units: 4}
  recurrent:
    _target_: layers.Recurrent
    cell: {_target_: layers.GRUCell, units: 4}
    return_sequences: true
  out: {_target_: layers.Dense, units: "${dataset.vocabulary}"}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's configs: two models."""
    folder = tmp_path_factory.mktemp("configs")
    (folder / "model").mkdir()
    (folder / "model" / "series.yaml").write_text(SERIES)
    (folder / "model" / "letters.yaml").write_text(LETTERS)
    return folder


def assembled(folder: Path, *overrides: str) -> Assembly:
    """Parts that are not trained: what they answer is as good as any."""
    given = [*overrides, "trainer.compile=off", "tracking=off"]
    return assemble(compose("train", given, config_dir=str(folder)))


def answered(parts: Assembly) -> np.ndarray:
    examples = parts.prepared.examples("test")
    x = parts.prepared.preprocessing.device(tf.nest.map_structure(tf.constant, examples.inputs))
    return parts.task.predict(parts.model(x, training=False)).numpy()


def table(file: Path) -> list[list[str]]:
    return list(csv.reader(io.StringIO(file.read_text())))


def test_numbers_are_listed_and_drawn(folder: Path, tmp_path: Path) -> None:
    parts = assembled(folder, "dataset=diabetes", "task=regression")
    show(parts, tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["predicted.png", "targets.csv", "worst.csv"]
    truth, predicted = parts.prepared.examples("test").targets, answered(parts)
    metrics = parts.evaluate("test")
    [row] = table(tmp_path / "targets.csv")[1:]
    assert row[0] == "progression"
    found = {
        f"test/{name}": float(value)
        for name, value in zip(("mae", "rmse", "r2"), row[1:4], strict=True)
    }
    assert found == pytest.approx({name: metrics[name] for name in found}, rel=1e-4)
    worst = table(tmp_path / "worst.csv")[1:]
    order = np.argsort(-np.abs(predicted - truth)[:, 0])[:24]
    assert [int(row[0]) for row in worst] == order.tolist()
    assert [float(row[3]) for row in worst] == pytest.approx(predicted[order, 0], rel=1e-4)


def test_a_forecast_is_drawn_with_what_is_known(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.analysis import plots

    drawn: dict[str, Any] = {}
    picture = plots.lines_picture
    monkeypatch.setattr(
        plots, "lines_picture", lambda panels, title: drawn.update(panels) or picture(panels, title)
    )
    parts = assembled(
        folder, "dataset=sunspots", "task=regression", "model=series", "trainer.batch_size=32"
    )
    show(parts, tmp_path)
    assert (tmp_path / "forecast.png").exists()
    [lines] = drawn.values()
    assert [*lines] == ["truth", "model", "last known"]
    examples = parts.prepared.examples("test")
    truth = examples.targets[:, -1, 0]  # windows begin a step apart
    np.testing.assert_array_equal(lines["truth"], truth)
    np.testing.assert_array_equal(lines["last known"][1:], truth[:-1])
    np.testing.assert_allclose(lines["model"], answered(parts)[:, -1, 0], rtol=1e-5)
    expected = regression.target_scores(examples.targets, answered(parts))[0].rmse
    assert float(table(tmp_path / "targets.csv")[1][2]) == pytest.approx(expected, rel=1e-4)


def test_reconstructions_are_beside_their_originals(folder: Path, tmp_path: Path) -> None:
    from PIL import Image

    parts = assembled(folder, "dataset=digits", "task=reconstruction", "model=autoencoder")
    account = show(parts, tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["reconstructions.png", "worst.csv"]
    assert Image.open(tmp_path / "reconstructions.png").size[0] > 900
    originals = parts.prepared.preprocessing.device(parts.prepared.examples("test").inputs)
    errors = np.sqrt(np.square(answered(parts) - originals).mean((1, 2, 3)))
    worst = table(tmp_path / "worst.csv")[1:]
    assert [float(row[1]) for row in worst] == pytest.approx(np.sort(errors)[::-1][:24], rel=1e-4)
    assert account.outputs.startswith("`[examples, 8, 8, 1]` float32")


def test_text_is_written_by_the_weights_as_they_are(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("numbers.txt").write_text("\n".join(f"{i} and then" for i in range(2000)))
    parts = assembled(
        folder,
        *("dataset=text_file", "dataset.options.files=[numbers.txt]", "dataset.frame.length=32"),
        *("task=language_model", "model=letters"),
    )
    write = Writer(parts)
    first, again, later = write(0), write(0), write(50)
    assert first == again != later
    texts = first.rstrip("\n").split("\n\n[")
    assert len(texts) >= 4
    beginning = parts.data.decode(parts.prepared.examples("validation").inputs[:1, :16])[0]
    assert first.startswith(f"[{beginning}]")
    for other in (again, later):
        assert other.startswith(f"[{beginning}]")
    # A model that is sure of one letter writes nothing else.
    bias = parts.model.named_variables()["out/b"]
    bias.assign(100.0 * tf.one_hot(7, bias.shape[0]))
    letter = parts.data.decode(np.array([[7]]))[0]
    assert write(0).split("\n\n")[0] == f"[{beginning}]{letter * 200}"
    show(parts, tmp_path)
    assert letter * 200 in (tmp_path / "generated.txt").read_text()


def test_labels_are_listed(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tensorflow_datasets as tfds

    random = np.random.default_rng(0)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))

    def examples(count: int) -> list[tuple[int, dict[str, Any]]]:
        rows = random.random((count, 3)).astype(np.float32)
        return [(i, {"x": row, "tags": np.flatnonzero(row > 0.5)}) for i, row in enumerate(rows)]

    tfds.dataset_builders.store_as_tfds_dataset(
        name="tagged",
        version="1.0.0",
        data_dir=str(tmp_path / "tfds"),
        disable_shuffling=True,
        features=tfds.features.FeaturesDict(
            {
                "x": tfds.features.Tensor(shape=(3,), dtype=np.float32),
                "tags": tfds.features.Sequence(tfds.features.ClassLabel(names=["a", "b", "c"])),
            }
        ),
        split_datasets={name: examples(40) for name in ("train", "validation", "test")},
    )
    parts = assembled(
        folder,
        *("dataset=tfds", "dataset.name=tagged", f"dataset.data_dir={tmp_path / 'tfds'}"),
        *("dataset.inputs=x", "dataset.target=tags", "trainer.batch_size=8", "task=multi_label"),
        *("task.metrics=[f1,auc]", "task.threshold=0.4"),
    )
    out = tmp_path / "out"
    out.mkdir()
    show(parts, out)
    rows = table(out / "labels.csv")
    assert [row[0] for row in rows] == ["label", "a", "b", "c"]
    found = np.mean([[float(cell) for cell in row[3:5]] for row in rows[1:]], 0)
    metrics = parts.evaluate("test")
    assert found[0] == pytest.approx(metrics["test/f1"], abs=1e-5)
    assert found[1] == pytest.approx(metrics["test/auc"], abs=1e-3)
    truth = parts.prepared.examples("test").targets.sum(0)
    assert [int(row[5]) for row in rows[1:]] == truth.tolist()


def test_of_a_streamed_split_a_sample_is_shown_which_is_said(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.showing import predictions

    words = ("dataset=digits", "dataset.feed=stream", "trainer.batch_size=64")
    parts = assembled(folder, *words)
    monkeypatch.setattr(predictions.first, "__defaults__", (100,))
    account = show(parts, tmp_path)
    assert account.remarks[0] == "The table is of the first 100 of 360 examples."
    resident = assembled(folder, "dataset=digits")
    labels = resident.source.split("test").labels[:100]
    predicted = answered(resident)[:100].argmax(1)  # of the same initial weights
    rows = np.array([row[1:] for row in table(tmp_path / "confusion.csv")[1:]], int)
    expected = np.zeros([10, 10], int)
    np.add.at(expected, (labels, predicted), 1)
    assert rows.tolist() == expected.tolist()
    assert (tmp_path / "worst.png").exists()  # its images are read by number


def test_a_run_keeps_what_is_shown(fit: Any, store: Any) -> None:
    result = fit(
        *("dataset=diabetes", "task=regression"), "trainer.duration=2 epochs", "trainer.compile=off"
    )
    rows = list(csv.reader(io.StringIO(store.text(result.run_id, "test/targets.csv"))))
    assert float(rows[1][2]) == pytest.approx(result.metrics["test/rmse"], rel=1e-4)
    card = store.text(result.run_id, "model_card.md")
    assert "Predicts diabetes: progression.\n" in card
    assert f"| rmse | {result.objective:.6g} | {result.metrics['test/rmse']:.6g} |" in card
    assert "**Answers** `[examples, 1]` float32, in the units of the target." in card
    assert "class" not in card


def test_of_a_task_of_ones_own_it_is_said_what_it_is(folder: Path, tmp_path: Path) -> None:
    from pipeline.training.tasks import Task

    class Above(Task):
        needs = "numbers"

        def predict(self, outputs: tf.Tensor) -> tf.Tensor:
            return outputs > 0

    parts = assembled(folder, "dataset=diabetes", "task=regression")
    parts.task = Above()
    account = show(parts, tmp_path)
    assert os.listdir(tmp_path) == []
    assert account.summary == "Above of diabetes: 1 number(s)."
    assert account.outputs == "`[examples, 1]` bool"
