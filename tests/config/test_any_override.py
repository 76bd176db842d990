"""Whatever is written on the command line gets a config that passes, or an answer."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline import preflight
from pipeline.composing import compose
from pipeline.errors import ConfigError

KEYS = [
    "seed",
    "trainer.batch_size",
    "trainer.duration",
    "trainer.average",
    "strategy.replicas",
    "model",
    "model.layers",
    "model.layers.hidden",
    "model.layers.hidden._target_",
    "model.layers.hidden.units",
    "optimizer",
    "optimizer.learning_rate",
    "schedule.warmup",
    "dataset",
    "dataset.name",
    "dataset.preprocess",
    "tracking.uri",
    "tracking.tags",
    "resume",
    "objective",
    "trusted_packages",
    "hydra.run.dir",
    "nothing.of.this",
]
VALUES = st.one_of(
    st.sampled_from(["null", "''", "{}", "[]", "{a:1}", "[1,2]", "1,2", "${seed}", "${x}", "???"]),
    st.sampled_from(["os.system", "layers.Dense", "mnist", "cnn", "1e400", "nan", "-1", "true"]),
    st.text(max_size=12),
    st.integers(-(10**20), 10**20).map(str),
    st.floats().map(str),
)
SIGNS = st.sampled_from(["", "", "", "+", "++", "~"])
OVERRIDES = st.builds("{}{}={}".format, SIGNS, st.sampled_from(KEYS), VALUES)


@pytest.mark.exhaustive
@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(OVERRIDES | st.text(max_size=20), min_size=1, max_size=2))
def test_every_override_passes_or_is_answered(overrides: list[str]) -> None:
    try:
        preflight.check(compose("train", overrides))
    except ConfigError as answer:
        said = str(answer)
    else:
        return
    assert said.strip()
    assert "Traceback" not in said
    # Words of Hydra's and Python's own that would mean an exception nobody had thought of.
    for kind in ("AttributeError", "TypeError", "KeyError", "AssertionError", "IndexError"):
        assert kind not in said
