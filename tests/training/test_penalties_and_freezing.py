"""Regularizers count once a step; frozen weights stay as they are, averages too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.slow


def _penalised(strength: float = 0.02, **options: Any) -> Any:
    import layers
    from layers import regularizers

    return lambda: layers.Stack(
        {"flat": layers.Flatten(), "hidden": layers.Dense(8, "relu"), "logits": layers.Dense(4)},
        regularizers={"*/w": regularizers.L2(strength)},
        **options,
    )


def _values(trainer: Any) -> dict[str, np.ndarray]:
    return {path: v.numpy() for path, v in trainer.model.named_variables().items()}


def _squares(values: dict[str, np.ndarray]) -> float:
    return float(sum((v.astype(np.float64) ** 2).sum() for p, v in values.items() if p[-1] == "w"))


@pytest.mark.parametrize(("replicas", "accumulate"), [(1, 1), (2, 1), (1, 2)])
def test_a_penalty_is_in_the_row_once_and_pulls_once(
    make_trainer, replicas: int, accumulate: int
) -> None:
    from pipeline.training.optimizers import SGD

    rate, strength = 0.1, 0.02
    moved = []
    for given in (0.0, strength):
        trainer = make_trainer(
            replicas,
            model=_penalised(given),
            optimizer=lambda: SGD(rate),
            accumulate=accumulate,
        )
        before = _values(trainer)
        rows = trainer.train(1).rows
        moved.append(_values(trainer))
        row = dict(zip(trainer.columns, rows[0], strict=True))
        batch = trainer.feed.batch
        np.testing.assert_allclose(
            row["regularization"] / batch, given * _squares(before), rtol=1e-5
        )
    for path, value in before.items():
        # The gradient of strength * w^2 is 2 * strength * w; biases have no penalty.
        pull = rate * 2 * strength * value if path.endswith("w") else 0.0
        np.testing.assert_allclose(moved[1][path], moved[0][path] - pull, atol=1e-6, err_msg=path)


def test_a_layer_that_trains_itself_pays_its_own_penalty(make_trainer) -> None:
    import layers
    from layers import regularizers
    from pipeline.training.optimizers import SGD

    def model(strength: float) -> Any:
        block = layers.SelfTraining(
            layers.Dense(4), SGD(0.1), regularizers={"layer/w": regularizers.L2(strength)}
        )
        return lambda: layers.Stack({"flat": layers.Flatten(), "block": block})

    for replicas in (1, 2):
        moved = []
        for strength in (0.0, 0.02):
            trainer = make_trainer(replicas, model=model(strength))
            before = _values(trainer)["block/layer/w"]
            trainer.train(1)
            moved.append(_values(trainer)["block/layer/w"])
            assert "regularization" not in trainer.columns  # the outer loss has no part in it
        np.testing.assert_allclose(moved[1], moved[0] - 0.1 * 2 * 0.02 * before, atol=1e-6)


def test_frozen_weights_stay_as_they_are(make_trainer) -> None:
    trainer = make_trainer(1, model=_penalised(freeze=["hidden/*"]), decay=0.9)
    before = _values(trainer)
    trainer.train(5)
    after = _values(trainer)
    for path in ("hidden/w", "hidden/b"):
        np.testing.assert_array_equal(after[path], before[path])
    assert np.any(after["logits/w"] != before["logits/w"])
    row = dict(zip(trainer.columns, trainer.train(1).rows[0], strict=True))
    expected = 0.02 * (after["logits/w"].astype(np.float64) ** 2).sum()
    np.testing.assert_allclose(row["regularization"] / trainer.feed.batch, expected, rtol=1e-5)


@pytest.mark.parametrize("mode", ["loop", "gradients"])
def test_compiled_steps_pay_the_same(make_trainer, mode: str) -> None:
    plain, compiled = (make_trainer(1, model=_penalised(), mode=m) for m in ("off", mode))
    np.testing.assert_allclose(compiled.train(6).rows, plain.train(6).rows, rtol=1e-4, atol=1e-5)
