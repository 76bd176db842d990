"""Layers that carry state or train themselves, inside the in-graph loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.slow  # whole runs or processes; the quick tier has their parts


def _carrying() -> Any:
    import layers

    return layers.Stack(
        {
            "rows": layers.Reshape([6, 6]),
            "carry": layers.Stateful(layers.GRUCell(8), batch=16),
            "logits": layers.Dense(4),
        }
    )


def _local(mixed: bool = False) -> Any:
    import layers
    from pipeline.training.optimizers import Adam

    def block(layer: Any, head: Any = None) -> Any:
        return layers.SelfTraining(layer, Adam(3e-3), head=head)

    return layers.Stack(
        {
            "flat": layers.Flatten(),
            "block1": block(layers.Dense(16, "relu"), layers.Dense(4)),
            "block2": block(layers.Dense(16, "relu"), layers.Dense(4)),
            "logits": layers.Dense(4) if mixed else block(layers.Dense(4)),
        }
    )


def _mixed() -> Any:
    return _local(mixed=True)


MODELS = {"carrying": _carrying, "local": _local, "mixed": _mixed}
NAMES = ["carrying", "local", pytest.param("mixed", marks=pytest.mark.exhaustive)]


def _values(trainer: Any) -> dict[str, np.ndarray]:
    return {path: v.numpy() for path, v in trainer.model.named_variables().items()}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.exhaustive
def test_two_replicas_give_the_training_of_one(make_trainer, name: str) -> None:
    one, two = (make_trainer(replicas, model=MODELS[name]) for replicas in (1, 2))
    np.testing.assert_allclose(two.train(12).rows, one.train(12).rows, rtol=1e-3, atol=1e-5)
    for path, value in _values(one).items():
        np.testing.assert_allclose(_values(two)[path], value, rtol=1e-3, atol=1e-4, err_msg=path)


@pytest.mark.parametrize("mode", ["loop", "gradients"])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.exhaustive
def test_compiled_training_equals_plain(make_trainer, name: str, mode: str) -> None:
    plain, compiled = (make_trainer(1, model=MODELS[name], mode=m) for m in ("off", mode))
    assert compiled.warm_up().mode == mode
    np.testing.assert_allclose(compiled.train(12).rows, plain.train(12).rows, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.exhaustive
def test_evaluation_between_steps_changes_no_bit_of_training(make_trainer, name: str) -> None:
    plain, evaluated = (make_trainer(1, model=MODELS[name]) for _ in range(2))
    rows = plain.train(8).rows
    parts = []
    for _ in range(4):
        parts.append(evaluated.train(2).rows)
        evaluated.evaluate(evaluated.feed)
    np.testing.assert_array_equal(np.concatenate(parts), rows)
    for path, value in _values(plain).items():
        np.testing.assert_array_equal(_values(evaluated)[path], value, err_msg=path)


@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.exhaustive
def test_carried_state_is_forgotten_when_an_epoch_begins(make_trainer, replicas: int) -> None:
    """100 examples are 6 steps of 16. With a learning rate of zero the state alone moves."""
    import tensorflow as tf

    import layers

    trainer = make_trainer(replicas, model=_carrying, factor=lambda step: tf.zeros([]))
    trainer.train(6)
    kept = [table.numpy() for table in trainer.model["carry"].carried]
    trainer.train(1)
    after = [table.numpy() for table in trainer.model["carry"].carried]
    layers.reset(trainer.model)
    trainer.step.assign(6)
    trainer.train(1)
    from_zero = [table.numpy() for table in trainer.model["carry"].carried]
    for a, b, old in zip(after, from_zero, kept, strict=True):
        np.testing.assert_array_equal(a, b)
        assert not np.allclose(a, old)
    layers.reset(trainer.model)
    trainer.step.assign(7)  # in the middle of an epoch what is carried does matter
    second = trainer.train(1).rows
    trainer.step.assign(7)
    assert not np.array_equal(trainer.train(1).rows, second)


@pytest.mark.exhaustive
def test_microbatches_carry_what_the_whole_batch_would(make_trainer) -> None:
    whole, parts = (make_trainer(2, model=_carrying, accumulate=n) for n in (1, 4))
    np.testing.assert_allclose(parts.train(12).rows, whole.train(12).rows, rtol=1e-3, atol=1e-5)
    for path, value in _values(whole).items():
        np.testing.assert_allclose(_values(parts)[path], value, rtol=1e-3, atol=1e-4, err_msg=path)


def test_local_scores_are_columns_and_learning_lowers_the_losses(make_trainer) -> None:
    trainer = make_trainer(1, model=_local, steps_per_call=120)
    assert trainer.columns == (
        "loss",
        "accuracy",
        "block1/loss",
        "block1/accuracy",
        "block2/loss",
        "block2/accuracy",
        "logits/loss",
        "logits/accuracy",
        "gradient_norm",
        "learning_rate",
    )
    rows = dict(zip(trainer.columns, trainer.train(120).rows.T, strict=True))
    for name in ("block1/loss", "block2/loss", "logits/loss"):
        assert np.mean(rows[name][-6:]) < 0.8 * np.mean(rows[name][:6])
    # The last block's output are the logits of the task, which measures the same.
    np.testing.assert_allclose(rows["logits/loss"], rows["loss"], rtol=1e-5)
    assert not rows["gradient_norm"].any()  # nothing is left to the outer optimizer


@pytest.mark.exhaustive
def test_clipping_and_the_outer_optimizer_see_the_head_of_a_mixed_stack_only(make_trainer) -> None:
    from pipeline.training.optimizers import SGD

    def update(clip: float | None) -> dict[str, float]:
        trainer = make_trainer(1, model=_mixed, optimizer=lambda: SGD(1.0), clip_norm=clip)
        assert set(trainer._step.trainable) == {"logits/w", "logits/b"}
        before = _values(trainer)
        trainer.train(1)
        after = _values(trainer)
        return {p: float(np.sum((after[p] - before[p]) ** 2)) for p in before}

    free, clipped = update(None), update(0.01)
    head = {"logits/w", "logits/b"}
    assert np.sqrt(sum(clipped[p] for p in head)) == pytest.approx(0.01, rel=1e-4)
    assert {p: v for p, v in clipped.items() if p not in head} == {
        p: v for p, v in free.items() if p not in head
    }


def test_average_takes_in_weights_of_layers_that_train_themselves(make_trainer) -> None:
    trainer = make_trainer(1, model=_local, decay=0.9)
    start = _values(trainer)["block1/layer/w"]
    trainer.train(1)
    expected = start + 0.9 * (_values(trainer)["block1/layer/w"] - start)  # d = 1 / 10
    average = trainer.average.averages["block1/layer/w"].numpy()
    np.testing.assert_allclose(average, expected, rtol=1e-5)


def test_compiling_gradients_on_replicas_is_refused_where_the_model_assigns() -> None:
    import tensorflow as tf

    import layers
    from pipeline.errors import ConfigError
    from pipeline.training.compilation import choose

    for make in MODELS.values():
        model = make()
        spec = tf.TensorSpec([None, 6, 6, 1])
        layers.build(model, spec)
        with pytest.raises(ConfigError, match="assigns state in its forward pass"):
            choose("gradients", model, spec, 2, on_gpu=False)
