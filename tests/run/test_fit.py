"""What a finished run leaves in MLflow, and that it repeats."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from pipeline.composing import compose
from pipeline.resuming import config_digest

pytestmark = pytest.mark.slow  # whole runs or processes; the quick tier has their parts

SHORT = ("+experiment=digits", "trainer.duration=4 epochs", "model.layers.hidden.units=32")


@pytest.fixture(scope="module")
def result(fit):
    return fit(*SHORT)


def test_result_holds_the_scores(result) -> None:
    assert result.status == "FINISHED"
    assert result.objective == result.metrics["best/val/accuracy"]
    assert 0.5 < result.metrics["test/accuracy"] <= 1.0


def test_run_is_finished_and_has_every_metric(result, store) -> None:
    run = store.recorded(result.run_id)
    assert run.status == "FINISHED"
    expected = {
        "train/loss",
        "train/accuracy",
        "train/learning_rate",
        "train/gradient_norm",
        "val/loss",
        "val/accuracy",
        "best/val/accuracy",
        "test/loss",
        "test/accuracy",
        "speed/examples_per_second",
        "speed/steps_per_second",
        "speed/step_ms",
    }
    assert expected <= set(run.metrics)
    assert run.metrics["test/accuracy"] == result.metrics["test/accuracy"]
    steps = [point.step for point in store.history(result.run_id, "val/loss")]
    assert steps == [18, 36, 54, 72]  # 1,167 examples are 18 whole batches of 64


def test_every_config_value_is_a_param(result, store) -> None:
    params = store.recorded(result.run_id).params
    assert params["model.layers.hidden.units"] == "32"
    assert params["optimizer.learning_rate"] == "0.003"
    assert params["trainer.clip_norm"] == "null"
    assert params["dataset.classes"] == "10"


def test_surroundings_and_digests_are_tags(result, store) -> None:
    tags = store.recorded(result.run_id).tags
    assert tags["devices"] == "CPU:0"
    assert tags["compiled"].startswith("loop: ")
    assert len(tags["sha256/best"]) == len(tags["sha256/last"]) == 64
    assert {"digest/training", "digest/validation", "digest/test"} <= set(tags)
    assert "git.dirty" in tags


def test_config_and_packages_are_artifacts(result, store) -> None:
    config = store.text(result.run_id, "config.yaml")
    assert "units: 32" in config
    assert "duration: 4 epochs" in config
    names = [f.path for f in store.client.list_artifacts(result.run_id)]
    packages = [
        f.path
        for name in names
        for f in store.client.list_artifacts(result.run_id, name)
        if "packages" in f.path
    ]
    assert any(f"numpy=={np.__version__}" in store.text(result.run_id, p) for p in packages)


def test_best_and_last_checkpoint_stay_with_their_metrics(result, store) -> None:
    from pipeline.tracking.models import Models

    found = Models(store, result.run_id).checkpoints()
    roles = sorted(role for checkpoint in found for role in checkpoint.roles)
    assert roles == ["best", "last"]
    last = next(c for c in found if "last" in c.roles)
    best = next(c for c in found if "best" in c.roles)
    assert last.step == 72
    assert best.metrics["val/accuracy"] == result.objective


def test_exported_model_predicts_what_our_evaluation_counts(result, store) -> None:
    import mlflow

    from pipeline.data import source
    from pipeline.train import compose

    mlflow.set_tracking_uri(store.location.uri)
    (model,) = [
        m
        for m in store.client.search_logged_models(
            [store.client.get_run(result.run_id).info.experiment_id]
        )
        if m.source_run_id == result.run_id and m.name == "model"
    ]
    loaded = mlflow.pyfunc.load_model(f"models:/{model.model_id}")
    split = source.load(compose("train", ["+experiment=digits"]).dataset).split("test")
    predicted = loaded.predict(split.inputs)
    predicted = next(iter(predicted.values())) if isinstance(predicted, dict) else predicted
    predicted = np.asarray(predicted)
    assert predicted.shape == (360, 10)
    np.testing.assert_allclose(predicted.sum(1), 1.0, rtol=1e-5)
    accuracy = float(np.mean(predicted.argmax(1) == split.labels))
    assert accuracy == pytest.approx(result.metrics["test/accuracy"], abs=1e-9)


@pytest.mark.slow
def test_the_same_config_again_is_bit_identical(result, fit, store) -> None:
    again = fit(*SHORT)
    assert again.metrics == result.metrics
    assert (
        store.recorded(again.run_id).tags["sha256/last"]
        == store.recorded(result.run_id).tags["sha256/last"]
    )
    for key in ("train/loss", "val/accuracy"):
        a, b = (
            [(p.step, p.value) for p in store.history(run, key)]
            for run in (again.run_id, result.run_id)
        )
        assert a == b


@pytest.mark.slow
def test_another_seed_is_another_training(result, fit) -> None:
    other = fit(*SHORT, "seed=1", "tracking=off")
    assert other.metrics["val/loss"] != result.metrics["val/loss"]


@pytest.mark.slow
@pytest.mark.parametrize("replicas", [2, 4])
def test_replicas_train_alike(result, fit, store, replicas: int) -> None:
    several = fit(*SHORT, f"strategy.replicas={replicas}")
    one, more = (
        [p.value for p in store.history(run, "train/loss")]
        for run in (result.run_id, several.run_id)
    )
    np.testing.assert_allclose(more, one, rtol=1e-4)
    assert several.metrics["test/loss"] == pytest.approx(result.metrics["test/loss"], rel=1e-3)


def test_evaluate_repeats_the_recorded_numbers_exactly(result, root: Path) -> None:
    from pipeline.evaluate import evaluate
    from pipeline.train import compose

    for split, keys in (("test", 2), ("validation", 2), ("train", 0)):
        config = compose(
            "evaluate", [f"run={result.run_id}", f"split={split}", f"tracking.root={root}"]
        )
        found = evaluate(config)
        assert len(found.recorded) == keys
        assert found.differing == []
    assert found.metrics["train/accuracy"] > 0.5


def test_a_record_that_is_older_than_a_key_has_its_default(
    result, store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.resuming import read_config
    from pipeline.tracking import artifacts

    text = artifacts.recorded_text(store, result.run_id, "config.yaml")
    older = "".join(line for line in text.splitlines(True) if "checkpoint_seconds" not in line)
    assert older != text
    monkeypatch.setattr(artifacts, "recorded_text", lambda *_: older)
    assert read_config(store, result.run_id).trainer.checkpoint_seconds == 5.0


def test_finished_run_is_not_run_again(result, fit) -> None:
    from pipeline.errors import ConfigError

    with pytest.raises(ConfigError, match=f"run {result.run_id} is finished"):
        fit(f"resume={result.run_id}")


def test_resume_without_tracking_is_refused(fit) -> None:
    from pipeline.errors import ConfigError

    with pytest.raises(ConfigError, match="tracking=off keeps no runs"):
        fit(*SHORT, "tracking=off", "resume=latest")


def test_model_of_the_wrong_rank_names_the_layer_and_the_shapes(fit) -> None:
    from pipeline.errors import ConfigError

    with pytest.raises(ConfigError) as caught:
        fit(*SHORT, "~model.layers.flatten", "tracking=off")
    assert "model.layers.logits: its output has shape [None, 8, 8, 10]" in str(caught.value)
    late = "+model.layers.late={_target_: layers.Conv2D, filters: 3, kernel_size: 3}"
    with pytest.raises(ConfigError) as caught:
        fit(*SHORT, late, "tracking=off")
    assert "the model does not fit the data, whose examples are [8, 8, 1]" in str(caught.value)
    assert "late (Conv2D)" in str(caught.value)
    assert "[None, 10] float32" in str(caught.value)


def test_wrong_number_of_classes_names_the_layer(fit) -> None:
    from pipeline.errors import ConfigError

    with pytest.raises(ConfigError, match=r"model.layers.logits: its output has shape \[None, 7\]"):
        fit(*SHORT, "model.layers.logits.units=7", "tracking=off")


@pytest.mark.exhaustive
def test_longer_duration_extends_a_finished_run_as_if_it_had_been_one(fit, store) -> None:
    """With a constant rate: a schedule would stretch over the longer run."""
    constant = (*SHORT[::2], "schedule=constant")
    whole = fit(*constant, "trainer.duration=4 epochs")
    part = fit(*constant, "trainer.duration=2 epochs")
    extended = fit(f"resume={part.run_id}", "trainer.duration=4 epochs")
    assert extended.run_id == part.run_id
    assert (
        store.recorded(extended.run_id).tags["sha256/last"]
        == store.recorded(whole.run_id).tags["sha256/last"]
    )
    steps = [p.step for p in store.history(extended.run_id, "val/loss")]
    assert steps == [18, 36, 54, 72]


@pytest.mark.slow
def test_non_finite_training_fails_with_the_step_and_a_traceback(fit, store) -> None:
    from pipeline.errors import TrainingError

    with pytest.raises(TrainingError, match="training is not finite at step"):
        fit(*SHORT, "optimizer=sgd", "optimizer.learning_rate=1e30", "tracking.experiment=broken")
    run = store.recorded(store.latest("broken"))
    assert run.status == "FAILED"
    assert "training is not finite at step" in store.text(run.run_id, "traceback.txt")


@pytest.mark.slow
def test_early_stopping_ends_the_run_before_its_duration(fit) -> None:
    found = fit(
        *SHORT[::2],
        "trainer.duration=40 epochs",
        "trainer.early_stopping.patience=2 epochs",
        "trainer.early_stopping.min_delta=0.5",
        "tracking=off",
    )
    assert found.reason == "early_stopping"


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    "options",
    [
        ("optimizer=adamw", "trainer.clip_norm=1.0", "trainer.accumulate=4"),
        (
            "optimizer=momentum",
            "optimizer.learning_rate=0.05",
            "schedule=warmup_cosine",
            "trainer.precision=bfloat16",
        ),
        ("optimizer=rmsprop", "schedule=piecewise"),
        ("schedule=exponential", "trainer.average=0.9"),
        ("schedule=linear", "trainer.compile=off", "strategy.replicas=2"),
    ],
)
def test_options_train_to_a_better_loss(fit, options: tuple[str, ...]) -> None:
    found = fit(*SHORT, *options, "tracking=off")
    assert found.metrics["val/loss"] < 2.0  # ln 10 = 2.3 is chance
    assert found.metrics["val/accuracy"] > 0.3


def test_digest_of_the_data_does_not_depend_on_the_run(result, store) -> None:
    digest = store.recorded(result.run_id).tags["digest/test"]
    assert len(digest) == len(hashlib.sha256().hexdigest())


def test_a_run_is_known_by_the_config_that_was_asked_for(fit, store) -> None:
    """Also where the data says what the config leaves open: a sweep finds its trials by this."""
    asked = ("dataset=diabetes", "task=regression", "trainer.duration=1 epoch")
    config = compose("train", [*asked, "tracking=off"])
    assert config.dataset.outputs is None
    tags = store.recorded(fit(*asked).run_id).tags
    assert tags["digest/config"] == config_digest(config)
