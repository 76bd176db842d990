"""Whole runs that begin with another run's weights, freeze some, or adapt to the data first."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.errors import ConfigError

pytestmark = pytest.mark.slow  # whole runs; the quick tier has their parts

SOURCE = ("+experiment=digits", "trainer.duration=1 epoch", "model.layers.hidden.units=16")


@pytest.fixture(scope="module")
def source(fit) -> str:
    return fit(*SOURCE).run_id


def _weights(store, run_id: str, tmp_path, role: str = "last") -> dict[str, np.ndarray]:
    from pipeline.tracking.models import Models
    from pipeline.training.warm_start import evaluated_weights

    folder, _ = Models(store, run_id).fetch(role, tmp_path / run_id / role)
    return evaluated_weights(folder)


def test_a_frozen_warm_start_keeps_what_it_was_given(fit, store, source, tmp_path, capsys) -> None:
    capsys.readouterr()
    run = fit(
        *SOURCE,
        "seed=5",
        "+model.init_from.run=latest",
        "+model.init_from.map={hidden/*:hidden/*}",
        "+model.freeze=[hidden/*]",
    )
    best = _weights(store, source, tmp_path, "best")
    now = _weights(store, run.run_id, tmp_path)
    for path in ("hidden/w", "hidden/b"):
        np.testing.assert_array_equal(now[path], best[path])
    assert np.any(now["logits/w"] != best["logits/w"])
    said = capsys.readouterr().out
    expected = [
        f"2 of 4 variables from run {source}, best checkpoint of step 18",
        "not asked for: logits/w, logits/b",
        "not used of the checkpoint: logits/b, logits/w",
    ]
    for line in expected:
        assert f"warm start: {line}\n" in said
    assert store.text(run.run_id, "warm_start.txt").splitlines() == expected
    tags = store.recorded(run.run_id).tags
    assert store.recorded(run.run_id).params["model.init_from.run"] == source
    assert tags["init_from"] == f"run {source}, best checkpoint of step 18"


@pytest.mark.exhaustive
def test_averages_begin_with_the_weights_that_were_loaded(fit, store, source, tmp_path) -> None:
    run = fit(*SOURCE, "seed=5", f"+model.init_from.run={source}", "optimizer.learning_rate=1e-30")
    expected = _weights(store, source, tmp_path, "best")
    for path, value in _weights(store, run.run_id, tmp_path).items():
        np.testing.assert_array_equal(value, expected[path])


def test_a_pattern_without_a_weight_fails_before_training(fit, store, source) -> None:
    with pytest.raises(ConfigError) as error:
        fit(*SOURCE, f"+model.init_from.run={source}", "+model.init_from.map={hiden/*:hidden/*}")
    assert str(error.value) == (
        f"model.init_from: run {source}: 'hiden/*' to 'hidden/*' loads nothing. Here: Did you mean "
        "'hidden/w' or 'hidden/b'? There: Did you mean 'hidden/w' or 'hidden/b'?"
    )
    assert store.recorded(store.latest()).status == "FAILED"


@pytest.mark.exhaustive
def test_standardize_learns_the_training_split_before_the_first_step(fit, store, tmp_path) -> None:
    from pipeline.assembly import assemble
    from pipeline.train import compose

    run = fit(
        *SOURCE,
        "model.layers.flatten._target_=layers.Stack",
        "+model.layers.flatten.layers=[{_target_: layers.Flatten},{_target_: layers.Standardize}]",
    )
    found = _weights(store, run.run_id, tmp_path)
    parts = assemble(compose("train", [*SOURCE]))
    images = parts.source.split("train").inputs
    x = (
        parts.prepared.preprocessing.device(images)
        .numpy()
        .reshape(len(images), -1)
        .astype(np.float64)
    )
    np.testing.assert_allclose(found["flatten/1/mean"], x.mean(0), atol=1e-6)
    np.testing.assert_allclose(found["flatten/1/variance"], x.var(0), atol=1e-6)
