"""Whole runs of layers that carry state or train themselves: scores, resume, export."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

LOCAL = ("+experiment=digits_local",)
MIXED = (
    *LOCAL,
    "~model.layers.logits.layer",
    "~model.layers.logits.optimizer",
    "model.layers.logits._target_=layers.Dense",
    "+model.layers.logits.units=10",
)
CARRIED = (
    "model=gru",
    "model.layers.recurrent._target_=layers.Stateful",
    "+model.layers.recurrent.batch=${trainer.batch_size}",
    "trainer.average=0.9",
    "trainer.compile=off",
)


def _digests(store: Any, run_id: str) -> tuple[str, str]:
    tags = store.recorded(run_id).tags
    return tags["sha256/last"], tags["sha256/best"]


@pytest.mark.parametrize("overrides", [LOCAL, CARRIED], ids=["local", "carried"])
@pytest.mark.exhaustive
def test_resumed_run_ends_as_the_uninterrupted_one(fit, store, overrides: tuple[str, ...]) -> None:
    """Stopped at step 40, in the middle of an epoch of 18 steps."""
    constant = (*overrides, "schedule=constant", "trainer.evaluate_every=20 steps")
    whole = fit(*constant, "trainer.duration=60 steps")
    part = fit(*constant, "trainer.duration=40 steps")
    resumed = fit(f"resume={part.run_id}", "trainer.duration=60 steps")
    assert _digests(store, resumed.run_id) == _digests(store, whole.run_id)
    assert resumed.metrics["test/loss"] == whole.metrics["test/loss"]
    for key in ("val/loss", "train/loss"):
        ends = [store.history(run, key)[-1].value for run in (resumed.run_id, whole.run_id)]
        assert ends[0] == ends[1]


@pytest.mark.exhaustive
def test_local_scores_reach_the_run_and_the_export_answers_alike(fit, store) -> None:
    import mlflow

    from pipeline.data import source
    from pipeline.train import compose

    result = fit(*LOCAL, "trainer.duration=4 epochs")
    run = store.recorded(result.run_id)
    local = {f"train/{b}/{m}" for b in ("block1", "block2", "logits") for m in ("loss", "accuracy")}
    assert local <= set(run.metrics)
    assert run.params["model.layers.block1.optimizer.learning_rate"] == "0.003"
    mlflow.set_tracking_uri(store.location.uri)
    experiment = store.client.get_run(result.run_id).info.experiment_id
    (model,) = [
        m
        for m in store.client.search_logged_models([experiment])
        if m.source_run_id == result.run_id and m.name == "model"
    ]
    loaded = mlflow.pyfunc.load_model(f"models:/{model.model_id}")
    split = source.load(compose("train", [*LOCAL]).dataset).split("test")
    predicted = loaded.predict(split.inputs)
    predicted = next(iter(predicted.values())) if isinstance(predicted, dict) else predicted
    accuracy = float(np.mean(np.asarray(predicted).argmax(1) == split.labels))
    assert accuracy == pytest.approx(result.metrics["test/accuracy"], abs=1e-9)


@pytest.mark.exhaustive
def test_local_learning_scores_what_its_experiment_says(fit) -> None:
    assert fit(*LOCAL, "tracking=off").metrics["test/accuracy"] >= 0.96


@pytest.mark.exhaustive
def test_gru_reads_digits_row_by_row(fit) -> None:
    result = fit("+experiment=digits", "model=gru", "tracking=off")
    assert result.metrics["test/accuracy"] >= 0.96


@pytest.mark.exhaustive
@pytest.mark.parametrize("overrides", [LOCAL, CARRIED], ids=["local", "carried"])
def test_replicas_train_alike(fit, store, overrides: tuple[str, ...]) -> None:
    short = (*overrides, "trainer.duration=40 steps")
    one, two = (fit(*short, f"strategy.replicas={n}") for n in (1, 2))
    assert two.metrics["test/loss"] == pytest.approx(one.metrics["test/loss"], rel=1e-3)


@pytest.mark.exhaustive
def test_mixed_stack_trains_its_head_with_the_outer_optimizer(fit) -> None:
    result = fit(*MIXED, "trainer.duration=6 epochs", "trainer.clip_norm=1.0", "tracking=off")
    assert result.metrics["val/accuracy"] > 0.8
    assert result.metrics["train/gradient_norm"] > 0


@pytest.mark.slow
def test_microbatches_are_refused_by_layers_that_train_themselves(fit) -> None:
    from pipeline.errors import ConfigError

    with pytest.raises(ConfigError, match=r"trainer.accumulate=2: block1 \(SelfTraining\) trains"):
        fit(*LOCAL, "trainer.accumulate=2", "tracking=off")


def test_state_for_another_batch_size_is_refused(fit) -> None:
    from pipeline.errors import ConfigError

    with pytest.raises(ConfigError, match=r"recurrent \(Stateful\) carries the state of batch=32"):
        fit(*CARRIED, "model.layers.recurrent.batch=32", "tracking=off")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "+model.layers.block1.optimizer={_target_: pipeline.training.optimizers.SGD, lr: 1}",
            "model.layers.block1.optimizer.lr: SGD takes no 'lr'",
        ),
        ("~model.layers.block1.optimizer", "model.layers.block1.optimizer: SelfTraining needs it"),
        ("+model.layers.block1.loss=softmax", "model.layers.block1.loss: there is no loss"),
        ("+model.layers.block1.clip_norm=a", "model.layers.block1.clip_norm: the text 'a'"),
    ],
)
def test_wrong_config_of_a_block_is_said_before_anything_loads(override: str, message: str) -> None:
    from pipeline import preflight
    from pipeline.errors import ConfigError
    from pipeline.train import compose

    without = ["~model.layers.block1.optimizer"] if "SGD" in override else []
    with pytest.raises(ConfigError) as caught:
        preflight.check(compose("train", [*LOCAL, *without, override]))
    assert message in str(caught.value)
