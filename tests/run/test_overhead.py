"""What training costs besides its mathematics, counted and not timed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.slow  # a whole run


def test_thousand_steps_cost_few_calls_transfers_and_records(
    fit: Callable[..., Any], store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tensorflow.python.distribute.values import DistributedVariable

    from pipeline.tracking.journal import Journal
    from pipeline.training.checkpoints import Checkpoints
    from pipeline.training.trainer import Trainer

    counts: Counter[str] = Counter()
    trainers: list[Trainer] = []

    def counted(owner: type, method: str, name: str) -> None:
        original = getattr(owner, method)

        def count(self: Any, *arguments: Any, **named: Any) -> Any:
            counts[name] += 1
            if owner is Trainer and self not in trainers:
                trainers.append(self)
            return original(self, *arguments, **named)

        monkeypatch.setattr(owner, method, count)

    counted(Trainer, "train", "training calls")
    counted(Trainer, "evaluate", "evaluations")
    counted(Checkpoints, "save", "checkpoints")
    counted(Journal, "_append", "records")
    counted(DistributedVariable, "numpy", "transfers of variables")
    run_id = fit(
        "+experiment=digits",
        "trainer.duration=2000 steps",
        "trainer.evaluate_every=200 steps",
        "trainer.checkpoint_every=100 steps",
        "trainer.checkpoint_seconds=1000",
        "trainer.log_every=50 steps",
        "schedule=constant",
    ).run_id

    # The first calls are short; the others go beyond evaluations and saves that may wait.
    assert counts["training calls"] <= 8
    assert counts["evaluations"] == 1  # of the test split; the others are within those calls
    assert 2 <= counts["checkpoints"] <= 3  # the first, the best, the last
    # 40 logged points, 10 evaluations, speed, and some forty at the begin and the end.
    assert counts["records"] <= 40 + 10 + 2 + 45
    # The step as the run begins and ends, and the weights for their digests.
    assert counts["transfers of variables"] <= 20
    (trainer,) = trainers
    assert trainer._loop.experimental_get_tracing_count() == 1
    assert trainer._orders.experimental_get_tracing_count() == 1
    for graphs in trainer._evaluations.values():
        assert {graph.experimental_get_tracing_count() for graph in graphs} == {1}
    assert len(store.history(run_id, "val/loss")) == 10
    assert len(store.history(run_id, "train/loss")) == 40
