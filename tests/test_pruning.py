"""Successive halving: who goes on. The rule by itself, and through a real store."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from pipeline.pruning import Halving, places, rank


@pytest.mark.parametrize(
    ("others", "factor", "expected"), [(0, 3, 1), (1, 3, 1), (4, 3, 1), (5, 3, 2), (8, 3, 3)]
)
def test_the_best_of_so_many_go_on(others: int, factor: int, expected: int) -> None:
    assert places(others, factor) == expected


def test_rank_counts_who_is_better() -> None:
    assert rank(0.5, [0.9, 0.4, 0.5], maximise=True) == 2
    assert rank(0.5, [0.9, 0.4, 0.5], maximise=False) == 2
    assert rank(0.5, [], maximise=True) == 1
    assert rank(0.5, [0.5, 0.5], maximise=True) == 1


class _Tracker:
    def __init__(self, run_id: str) -> None:
        self.run_id, self.store, self.logged = run_id, None, {}

    def log(self, metrics: dict[str, float], step: int) -> None:
        self.logged[step] = metrics


@pytest.fixture
def siblings(monkeypatch: pytest.MonkeyPatch) -> list[SimpleNamespace]:
    from pipeline.tracking import sweeps

    found: list[SimpleNamespace] = []
    monkeypatch.setattr(sweeps, "trials", lambda store, parent: found)
    return found


def _halving(maximise: bool = True) -> tuple[Halving, _Tracker]:
    tracker = _Tracker("me")
    plan = SimpleNamespace(
        rungs=(10, 30), total=100, metric="val/accuracy" if maximise else "val/loss"
    )
    plan.maximise = maximise
    return Halving(tracker, "sweep", plan, factor=2), tracker  # type: ignore[arg-type]


def test_trial_says_where_it_stands_and_compares_with_those_at_its_rung(siblings) -> None:
    halving, tracker = _halving()
    siblings += [
        SimpleNamespace(run_id="a", metrics={"sweep/rung/1": 0.9, "sweep/rung/2": 0.95}),
        SimpleNamespace(run_id="b", metrics={"sweep/rung/1": 0.7}),
        SimpleNamespace(run_id="me", metrics={"sweep/rung/1": 0.99}),  # of before it was killed
        SimpleNamespace(run_id="c", metrics={}),
    ]
    assert halving(10, 0.95) is None
    assert tracker.logged == {10: {"sweep/rung/1": 0.95}}
    assert halving(10, 0.8) == (
        "at rung 1 of 2 (step 10 of 100): val/accuracy 0.8 is number 2 of 3, and the best goes on"
    )
    assert halving(30, 0.9) == (
        "at rung 2 of 2 (step 30 of 100): val/accuracy 0.9 is number 2 of 2, and the best goes on"
    )


def test_less_is_better_where_the_objective_says_so(siblings) -> None:
    halving, _ = _halving(maximise=False)
    siblings += [SimpleNamespace(run_id=str(i), metrics={"sweep/rung/1": i}) for i in range(3)]
    assert halving(10, -1.0) is None
    assert halving(10, 0.5) is None  # number 2 of 4
    assert halving(10, 1.5) == (
        "at rung 1 of 2 (step 10 of 100): val/loss 1.5 is number 3 of 4, and 2 go on"
    )


def test_trial_without_a_value_is_given_up(siblings) -> None:
    halving, tracker = _halving()
    assert halving(10, None) == (
        "at rung 1 of 2 (step 10 of 100): val/accuracy has had no finite value"
    )
    assert tracker.logged == {}
