"""Models of tables, text and series: served as MLflow serves them, exported, evaluated again, run
again. Each answer is held against the scores that the run has recorded of the test split."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import made_up
import numpy as np
import pytest

pytestmark = pytest.mark.slow  # whole runs

QUICK = ("trainer.compile=off", "trainer.batch_size=32")
SERIES = (
    *("dataset=sunspots", "task=regression", "model=gru", "~model.layers.rows"),
    *("+model.layers.recurrent.return_sequences=true", "model.layers.recurrent.cell.units=4"),
    *("trainer.duration=3 epochs", *QUICK),
)
ENCODER = (
    *("model=text_encoder", "model.layer.layers.embed.units=4"),
    *("model.layer.layers.blocks.times=1", "model.layer.layers.blocks.layer.heads=1"),
    *("model.layer.layers.blocks.layer.units=4", "dataset.preprocess.tokens.length=16"),
)


@pytest.fixture(scope="module")
def table(fit: Any) -> Any:
    return fit("dataset=breast_cancer", "model=mlp", "trainer.duration=3 epochs", *QUICK)


@pytest.fixture(scope="module")
def series(fit: Any) -> Any:
    return fit(*SERIES)


@pytest.fixture(scope="module")
def reviews(fit: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, tuple[str, ...]]:
    """A run over made-up reviews, and the words that name these."""
    folder = tmp_path_factory.mktemp("made_up")
    words = ("dataset=imdb_reviews", f"dataset.data_dir={folder}")
    made_up.prepare("imdb_reviews/plain_text", folder, {"train": 80, "test": 30})
    return fit(*words, *ENCODER, "trainer.duration=4 steps", *QUICK), words


@pytest.fixture(scope="module")
def letters(fit: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run of a language model."""
    folder = tmp_path_factory.mktemp("letters")
    (folder / "numbers.txt").write_text("\n".join(f"{i} and then" for i in range(1000)))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield fit(
            *("dataset=text_file", "dataset.options.files=[numbers.txt]"),
            *(f"dataset.data_dir={folder / 'tfds'}", "dataset.frame.length=16"),
            *("task=language_model", "model=language_model", "model.layers.blocks.times=1"),
            *("model.layers.embed.units=4", "model.layers.blocks.layer.units=4"),
            *("model.layers.blocks.layer.heads=1", "trainer.duration=20 steps", *QUICK),
        )


@pytest.fixture(scope="module")
def served(store: Any) -> Callable[[Any], Any]:
    """``served(result)``: the run's model, as MLflow loads it."""
    import mlflow

    from pipeline.tracking.models import Models

    def load(result: Any) -> Any:
        found = Models(store, result.run_id).final()
        assert found is not None
        return mlflow.pyfunc.load_model(found[1])

    return load


@pytest.fixture(scope="module")
def exported(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Any, str], Any]:
    """``exported(result, name)``: what ``pipeline.export`` makes of it."""
    from pipeline.composing import compose
    from pipeline.export import export

    def call(result: Any, name: str) -> Any:
        folder = tmp_path_factory.mktemp("exported") / name
        words = [f"run={result.run_id}", f"to={folder}", f"tracking.root={root}"]
        return export(compose("export", [*words, f"name={name}", "alias=champion"]))

    return call


def split_of(*words: str) -> Any:
    """The raw test split."""
    from pipeline.composing import compose
    from pipeline.data import source

    config = compose("train", list(words))
    needs = "inputs" if config.dataset.target is None else "class"
    return source.load(config.dataset, needs).split("test")


def scores(probabilities: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Cross-entropy and accuracy."""
    chosen = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(chosen).mean()), float((probabilities.argmax(1) == labels).mean())


def test_a_table_is_answered_row_by_row(table: Any, served: Any, exported: Any) -> None:
    import pandas
    import tensorflow as tf
    from mlflow.exceptions import MlflowException

    split, model = split_of("dataset=breast_cancer"), served(table)
    rows = pandas.DataFrame({name: column.astype(float) for name, column in split.inputs.items()})
    answers = _numbers(model.predict(rows[rows.columns[::-1]]))  # columns are known by name
    loss, accuracy = scores(answers, split.labels)
    assert loss == pytest.approx(table.metrics["test/loss"], rel=1e-4)
    assert accuracy == pytest.approx(table.metrics["test/accuracy"], abs=1e-6)
    with pytest.raises(MlflowException, match=r"Model is missing inputs \['mean_area'\]"):
        model.predict(rows.drop(columns="mean_area"))
    found = exported(table, "masses")
    assert found.registered.verdict.given
    request = (found.folder / "example.json").read_text()
    assert json.loads(request)["dataframe_split"]["columns"] == list(rows.columns)
    np.testing.assert_allclose(_invoked(model, request), answers[:8], rtol=1e-6)
    assert "Tells apart the 2 classes" in (found.folder / "model_card.md").read_text()
    saved = tf.saved_model.load(str(found.folder))
    raw = {name: tf.constant(column) for name, column in split.inputs.items()}
    np.testing.assert_allclose(saved(raw).numpy(), answers, rtol=1e-6)


def test_text_is_sent_as_text(
    reviews: tuple[Any, tuple[str, ...]], served: Any, exported: Any
) -> None:
    import tensorflow as tf

    result, words = reviews
    split, model = split_of(*words), served(result)
    texts = np.array([text.decode() for text in split.inputs], object)
    answers = _numbers(model.predict(texts))
    loss, accuracy = scores(answers, split.labels)
    assert loss == pytest.approx(result.metrics["test/loss"], rel=1e-4)
    assert accuracy == pytest.approx(result.metrics["test/accuracy"], abs=1e-6)
    found = exported(result, "reviews")
    saved = tf.saved_model.load(str(found.folder))
    np.testing.assert_allclose(saved(tf.constant(split.inputs)).numpy(), answers, rtol=1e-6)
    request = (found.folder / "example.json").read_text()
    assert json.loads(request)["inputs"] == texts[:8].tolist()
    np.testing.assert_allclose(_invoked(model, request), answers[:8], rtol=1e-6)


def test_of_a_series_raw_windows_are_sent(series: Any, served: Any, exported: Any) -> None:
    values = split_of("dataset=sunspots").inputs
    windows = np.lib.stride_tricks.sliding_window_view(values, 22)
    answers = _numbers(served(series).predict(np.array(windows[:-1])))
    error = answers[..., 0].astype(np.float64) - windows[1:]
    assert np.sqrt(np.square(error).mean()) == pytest.approx(series.metrics["test/rmse"], rel=1e-5)
    card = (exported(series, "sunspots").folder / "model_card.md").read_text()
    assert "**Answers** `[examples, 22, 1]` float32, in the units of the target." in card


def test_of_text_the_next_token_is_answered(letters: Any, served: Any, exported: Any) -> None:
    answers = _numbers(served(letters).predict(np.array(["7 and then\n8 and then"], object)))
    assert answers.shape[0] == 1
    assert answers.sum() == pytest.approx(1.0, rel=1e-5)
    found = exported(letters, "letters")
    assert found.registered.verdict.given
    assert found.registered.verdict.reason.startswith("test/loss ")


@pytest.mark.parametrize("kind", ["series", "letters"])
def test_a_run_is_evaluated_again_to_the_same_numbers(
    kind: str, root: Path, request: pytest.FixtureRequest
) -> None:
    from pipeline.composing import compose
    from pipeline.evaluate import evaluate

    result = request.getfixturevalue(kind)
    words = [f"run={result.run_id}", f"tracking.root={root}"]
    for split, prefix in (("validation", "val/"), ("test", "test/")):
        found = evaluate(compose("evaluate", [*words, f"split={split}"]))
        assert found.differing == []
        assert set(found.recorded) == set(found.metrics)
        assert {f"{prefix}loss"} < set(found.metrics)


@pytest.mark.parametrize("kind", ["series", pytest.param("letters", marks=pytest.mark.exhaustive)])
def test_a_run_is_reproduced_to_the_bit(
    kind: str,
    root: Path,
    request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from pipeline import reproduce

    run_id = request.getfixturevalue(kind).run_id
    capsys.readouterr()
    place = (f"tracking.root={root}", "tracking.system_metrics=false")
    assert reproduce.main([run_id, "--check", *place]) == 0
    assert "verdict: bit-identical" in capsys.readouterr().out


def _numbers(answers: Any) -> np.ndarray:
    """Of whatever MLflow answers with: an array, or of several inputs a table with one column."""
    if hasattr(answers, "columns"):
        return np.array(answers["predictions"].tolist())
    return np.asarray(answers)


def _invoked(model: Any, request: str) -> np.ndarray:
    """What MLflow's server answers to a request with this body."""
    from mlflow.pyfunc.scoring_server import invocations

    answer = invocations(request, "application/json", model, model.metadata.get_input_schema())
    assert answer.status == 200, answer.response
    found = json.loads(answer.response)["predictions"]
    return np.array([row["predictions"] if isinstance(row, dict) else row for row in found])
