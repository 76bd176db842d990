"""Weights of another checkpoint, by patterns of paths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import ConfigError

pytestmark = pytest.mark.slow


def _model(body: str = "body", classes: int = 4, nested: bool = False) -> Any:
    import layers

    def make() -> Any:
        parts = layers.Stack({"a": layers.Dense(8, "relu"), "norm": layers.BatchNorm()})
        inner = layers.Residual(layers.Stack({"deep": layers.Dense(8)})) if nested else None
        return layers.Stack(
            {"flat": layers.Flatten(), body: parts, "more": inner, "out": layers.Dense(classes)}
        )

    return make


def _values(trainer: Any) -> dict[str, np.ndarray]:
    return {path: v.numpy() for path, v in trainer.model.named_variables().items()}


@pytest.fixture
def source(make_trainer, tmp_path: Path) -> tuple[Any, Path]:
    """A trainer that has trained, with an average of its weights, and its checkpoint."""
    from pipeline.training.checkpoints import Checkpoints

    trainer = make_trainer(1, model=_model(nested=True), decay=0.5)
    trainer.train(4)
    objects = {"step": trainer.step, "model": trainer.model, "average": trainer.average}
    return trainer, Checkpoints(tmp_path, objects).save(4, {}, {})


def test_all_that_agrees_is_loaded_and_the_rest_is_told(make_trainer, source) -> None:
    from pipeline.training.warm_start import load

    trainer, folder = source
    with trainer.evaluated_weights():
        expected = _values(trainer)
    target = make_trainer(1, model=_model(classes=3), seed=9)
    before = _values(target)
    loaded = load(target.model, folder, {"*": "*"})
    loaded.source = "run x"
    after = _values(target)
    body = [f"body/{name}" for name in ("a/w", "a/b", "norm/scale", "norm/offset")]
    body += ["body/norm/moving_mean", "body/norm/moving_variance"]
    assert loaded.loaded == {path: path for path in body}
    for path in body:  # of the average where there is one: what the run evaluates with
        np.testing.assert_array_equal(after[path], expected[path])
    np.testing.assert_array_equal(after["out/w"], before["out/w"])
    assert loaded.lines() == [
        "6 of 8 variables from run x",
        "not loaded: out/w: is [8, 3] here and [8, 4] there",
        "not loaded: out/b: is [3] here and [4] there",
        "not used of the checkpoint: more/block/deep/b, more/block/deep/w, out/b, out/w",
    ]


def test_paths_are_translated_by_pattern(make_trainer, source) -> None:
    from pipeline.training.warm_start import load

    trainer, folder = source
    target = make_trainer(2, model=_model(body="encoder"), seed=9)
    loaded = load(target.model, folder, {"encoder/norm/*": "body/norm/*"})
    assert loaded.loaded["encoder/norm/scale"] == "body/norm/scale"
    assert loaded.untouched == ["encoder/a/w", "encoder/a/b", "out/w", "out/b"]


def test_a_pattern_that_loads_nothing_is_an_error(make_trainer, source) -> None:
    from pipeline.training.warm_start import load

    model = make_trainer(1, model=_model()).model
    with pytest.raises(ConfigError) as error:
        load(model, source[1], {"body/a/*": "boby/a/*"})
    assert str(error.value) == (
        "'body/a/*' to 'boby/a/*' loads nothing. Here: Did you mean 'body/a/w' or 'body/a/b'? "
        "There: Did you mean 'body/a/w' or 'body/a/b'?"
    )


def test_a_pattern_whose_shapes_all_differ_says_the_first(make_trainer, source) -> None:
    from pipeline.training.warm_start import load

    with pytest.raises(ConfigError) as error:
        load(make_trainer(1, model=_model(classes=3)).model, source[1], {"out/*": "out/*"})
    assert str(error.value) == (
        "'out/*' to 'out/*' loads nothing: out/w is [8, 3] here and [8, 4] there"
    )
