"""Whatever a run is asked to do, it finishes or is answered, and is never left RUNNING."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.errors import UserError

pytestmark = pytest.mark.exhaustive

NUMBERS = st.one_of(st.floats(-1, 2), st.sampled_from([0.0, 1e-30, 1e30, 1e308])).map(str)
COUNTS = st.one_of(st.integers(1, 40), st.sampled_from([-1, 0, 1167, 5000])).map(str)
PERIODS = st.builds("{} {}".format, st.integers(1, 3), st.sampled_from(["steps", "epochs"]))
VALUES = {
    "dataset.splits.train": st.sampled_from(["test", "train[:70]", "train[:9]", "train[:1]"]),
    "dataset.splits.validation": st.sampled_from(["test[:1]", "train[:3]", "validation[99%:]"]),
    "model": st.sampled_from(["cnn", "gru", "local", "text_encoder", "language_model"]),
    "model.layers.hidden.units": COUNTS,
    "model.layers.hidden.activation": st.sampled_from(["relu", "softmax", "exp", "relux", "null"]),
    "model.layers.logits.units": COUNTS,
    "+model.freeze": st.sampled_from(["[hidden]", "['*']", "[nothing]"]),
    "objective.metric": st.sampled_from(["val/loss", "train/loss", "val/los"]),
    "optimizer": st.sampled_from(["sgd", "momentum", "adamw", "rmsprop"]),
    "optimizer.learning_rate": NUMBERS,
    "schedule": st.sampled_from(["constant", "cosine", "exponential", "piecewise"]),
    "strategy.replicas": st.sampled_from(["1", "2", "3", "5"]),
    "trainer.accumulate": COUNTS,
    "trainer.average": NUMBERS,
    "trainer.batch_size": COUNTS,
    "trainer.clip_norm": NUMBERS,
    "trainer.compile": st.sampled_from(["off", "loop", "gradients"]),
    "trainer.evaluate_every": PERIODS,
    "trainer.evaluation_batch_size": COUNTS,
    "trainer.log_every": PERIODS,
    "trainer.precision": st.sampled_from(["float32", "bfloat16", "float16"]),
    "trainer.steps_per_call": COUNTS,
}
OWN = ["tracking.experiment='any run'"]  # other tests leave runs that are to look killed
OVERRIDES = st.lists(
    st.sampled_from(sorted(VALUES)).flatmap(
        lambda key: VALUES[key].map(lambda value: f"{key}={value}")
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda override: override.split("=")[0],
)


def test_every_run_ends_and_every_failure_is_a_sentence(
    fit: Callable[..., Any], store: Any
) -> None:
    ended = []

    @settings(
        max_examples=40,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(OVERRIDES)
    def run(overrides: list[str]) -> None:
        try:
            ended.append(
                fit("+experiment=digits", "trainer.duration=3 steps", *OWN, *overrides).status
            )
        except UserError as error:
            ended.append("answered" if len(str(error)) > 20 else f"answered by {error}")

    run()
    assert set(ended) == {"FINISHED", "answered"}
    experiment = store.client.get_experiment_by_name("any run").experiment_id
    runs = store.client.search_runs([experiment])
    assert len(runs) >= ended.count("FINISHED")
    assert not [r.info.run_id for r in runs if r.info.status == "RUNNING"]
