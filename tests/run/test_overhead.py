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

    assert (
        counts["training calls"] <= 20 + 4
    )  # to each checkpoint's step; the first calls are short
    assert counts["evaluations"] == 10 + 1  # and of the test split
    assert 2 <= counts["checkpoints"] <= 3  # the first, the best, the last
    # 40 logged points, 10 evaluations with speed and best, and some forty at the begin and the end.
    assert counts["records"] <= 40 + 3 * 10 + 45
    # The step as the run begins and ends, and the weights for their digests.
    assert counts["transfers of variables"] <= 20
    (trainer,) = trainers
    assert trainer._loop.experimental_get_tracing_count() == 1
    assert [e.experimental_get_tracing_count() for e in trainer._evaluations.values()] == [1, 1]
    assert len(store.history(run_id, "train/loss")) == 40
