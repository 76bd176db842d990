"""Which part of a step an operation's name says."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.errors import TrainingError

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("while/body/_1/while/input/GatherV2", "input"),
        ("while/body/_1/while/replica_1/input_1/Cast", "input"),
        ("while/forward/stack_1/dense/matmul", "forward"),
        ("gradient_tape/while/forward/stack_1/dense/matmul/MatMul", "backward"),
        ("while/reduce/AddN", "reduce"),
        ("while/update/ResourceApplyAdam", "update"),
        ("while/evaluation/stack_1/dense/matmul", "evaluation"),
        ("while/TensorArrayV2Write/TensorListSetItem", "other"),
    ],
)
def test_scopes_name_the_parts(name: str, part: str) -> None:
    from pipeline.training.profile import part_of

    assert part_of(name) == part


@pytest.mark.parametrize("mode", ["off", "loop"])
def test_profile_undoes_its_steps_and_knows_their_parts(make_trainer, tmp_path: Path, mode) -> None:
    from pipeline.training.profile import PARTS, profile

    trainer, plain = make_trainer(mode=mode), make_trainer(mode=mode)
    shares = profile(trainer, 30, tmp_path)
    assert tuple(shares) == PARTS
    assert sum(shares.values()) == pytest.approx(1.0)
    assert all(shares[part] > 0 for part in ("input", "forward", "backward", "update"))
    assert trainer.current_step == 0
    np.testing.assert_array_equal(trainer.train(10).rows, plain.train(10).rows)


def test_training_that_fails_while_it_is_profiled_says_so(make_trainer, tmp_path: Path) -> None:
    import tensorflow as tf

    from pipeline.training.profile import profile

    trainer = make_trainer(factor=lambda step: tf.where(step == 20, float("inf"), 1.0))
    with pytest.raises(TrainingError, match="that are profiled, training is not finite at step 21"):
        profile(trainer, 30, tmp_path)


def test_time_of_what_is_within_another_counts_once() -> None:
    """A [0, 100) holds B [10, 40), which holds C [20, 30); then D [50, 60) in A, E after it."""
    from pipeline.training.profile import _own_times

    spans = {"A": (0, 100), "B": (10, 30), "C": (20, 10), "D": (50, 10), "E": (100, 5)}
    names = {i: SimpleNamespace(name=name) for i, name in enumerate(spans)}
    events = [
        SimpleNamespace(metadata_id=i, offset_ps=begin, duration_ps=took)
        for i, (begin, took) in enumerate(spans.values())
    ]
    assert dict(_own_times(reversed(events), names)) == {"A": 60, "B": 20, "C": 10, "D": 10, "E": 5}
