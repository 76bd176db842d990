"""Evaluations within a call: as those by themselves, and the state at the best one is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.slow

EVERY_5 = {"every": 5, "objective": "loss", "maximise": False}
CASES = [
    pytest.param({"mode": "off"}, id="graph"),
    pytest.param({"mode": "loop"}, id="XLA"),
    pytest.param({"replicas": 2}, id="2 replicas"),
    pytest.param({"mode": "off", "decay": 0.9}, id="average", marks=pytest.mark.exhaustive),
    pytest.param({"mode": "loop", "decay": 0.9}, id="XLA, average"),
]


def _weights(trainer: Any) -> dict[str, np.ndarray]:
    return {path: v.numpy() for path, v in trainer.model.named_variables().items()}


@pytest.fixture(scope="module")
def stepwise(make_trainer):
    """A trainer that was asked at every fifth of 23 steps: its rows, evaluations and weights."""

    def run(**case: Any) -> tuple[Any, list[Any], dict[int, Any]]:
        trainer = make_trainer(**case, validation=EVERY_5)
        rows, evaluations, weights = [], [], {}
        for steps in (5, 5, 5, 5, 3):
            rows.append(trainer.train(steps).rows)
            weights[trainer.current_step] = _weights(trainer)
            evaluations.append((trainer.current_step, trainer.evaluate(trainer.validation.feed)))
        return np.concatenate(rows), evaluations, weights

    return run


@pytest.mark.parametrize("case", CASES)
def test_one_call_is_to_the_bit_what_a_call_for_each_evaluation_is(
    make_trainer, stepwise, case
) -> None:
    rows, evaluations, weights = stepwise(**case)
    trainer = make_trainer(**case, validation=EVERY_5)
    trained = trainer.train(23, evaluate_last=True)
    np.testing.assert_array_equal(trained.rows, rows)
    assert trained.evaluations == evaluations
    for path, weight in _weights(trainer).items():
        np.testing.assert_array_equal(weight, weights[23][path], err_msg=path)

    best = min(evaluations, key=lambda e: e[1]["loss"])[0]
    assert trained.kept == best
    for path, variable in trainer.model.named_variables().items():
        np.testing.assert_array_equal(
            trainer.kept.of(variable).numpy(), weights[best][path], err_msg=path
        )


def test_only_periods_are_evaluated_unless_the_last_step_is_asked_for(make_trainer) -> None:
    trainer = make_trainer(validation=EVERY_5)
    assert [step for step, _ in trainer.train(12).evaluations] == [5, 10]
    assert [step for step, _ in trainer.train(2).evaluations] == []
    assert [step for step, _ in trainer.train(2).evaluations] == [15]
    assert [step for step, _ in trainer.train(1, evaluate_last=True).evaluations] == [17]
    assert [step for step, _ in trainer.train(3, evaluate_last=True).evaluations] == [20]


@pytest.mark.parametrize("mode", ["off", "loop"])
def test_kept_is_what_is_better_than_the_best_before_by_enough(make_trainer, mode) -> None:
    """Trained to the end, the accuracy is as high as it can be: nothing is better."""
    validation = {"every": 5, "objective": "accuracy", "min_delta": 0.2}
    trainer = make_trainer(mode=mode, validation=validation)
    first = trainer.train(50)
    scores = [means["accuracy"] for _, means in first.evaluations]
    expected, best = None, None
    for (step, _), score in zip(first.evaluations, scores, strict=True):
        if best is None or score - best > 0.2:
            expected, best = step, score
    assert first.kept == expected
    assert trainer.train(10, best=max(scores)).kept is None
    assert trainer.train(5, best=0.0).kept == 65


def test_evaluation_that_is_not_finite_is_never_kept(make_trainer) -> None:
    trainer = make_trainer(validation=EVERY_5)
    for variable in trainer.model.variables:
        variable.assign(np.full(variable.shape, np.nan))
    assert np.isnan(trainer.evaluate(trainer.validation.feed)["loss"])
    trained = trainer.train(0, evaluate_last=True)
    assert len(trained.evaluations) == 1
    assert trained.kept is None


def test_snapshot_of_what_is_kept_is_saved_as_the_state_at_its_step(
    make_trainer, tmp_path: Path
) -> None:
    import tensorflow as tf

    from pipeline.training.optimizers import Adam
    from pipeline.training.snapshot import Snapshot

    options: dict[str, Any] = {"optimizer": lambda: Adam(1e-2), "decay": 0.9, "mode": "loop"}
    validation = EVERY_5 | {"maximise": True}  # so that the first is the best
    trainer = make_trainer(**options, validation=validation)
    snapshot = Snapshot(trainer.objects)
    assert trainer.train(30).kept == 5
    snapshot.take(trainer.kept)
    trainer.train(10)
    snapshot.checkpoint.write(str(tmp_path / "kept"))

    other = make_trainer(**options, validation=validation)
    other.train(5)
    expected = _weights(other)
    tf.train.Checkpoint(**other.objects).read(str(tmp_path / "kept")).assert_consumed()
    assert other.current_step == 5
    for path, weight in _weights(other).items():
        np.testing.assert_array_equal(weight, expected[path], err_msg=path)


def test_large_or_partly_unknown_state_is_not_kept_twice(make_trainer, monkeypatch) -> None:
    import tensorflow as tf

    from pipeline.training import kept

    class Table(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, 0)

    assert make_trainer(validation=EVERY_5).keeps_best
    assert not make_trainer(validation=EVERY_5 | {"objective": None}).keeps_best
    assert not make_trainer().keeps_best
    assert not kept.can_be_kept({"table": Table()})
    monkeypatch.setattr(kept, "MOST_BYTES", 100)
    assert not make_trainer(validation=EVERY_5).keeps_best


@pytest.mark.parametrize("shape", [(3,), (64,), (100,), (7, 33), (128, 96)])
def test_norm_in_xla_is_the_norm(shape) -> None:
    import tensorflow as tf

    from pipeline.training.norms import global_norm

    rng = np.random.default_rng(0)
    gradients = [tf.constant(rng.normal(size=s), tf.float32) for s in (shape, (10,))]
    exact = np.sqrt(sum(np.sum(np.square(g.numpy(), dtype=np.float64)) for g in gradients))
    for in_xla in (False, True):
        assert float(global_norm(gradients, in_xla)) == pytest.approx(exact, rel=1e-6)
    assert float(global_norm([], True)) == 0.0
