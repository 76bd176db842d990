"""The checkpoints of a run in MLflow: which are sent, which stay, and how they rank."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import StoreError
from pipeline.tracking.models import Models
from pipeline.tracking.tracker import Tracker

Begin = Callable[..., Tracker]
Outage = Callable[..., AbstractContextManager[None]]
Saved = Callable[..., Path]
Stored = Callable[..., list[tuple[int, float]]]


def test_checkpoints_end_as_exactly_the_best_and_the_last(
    begin: Begin, saved: Saved, stored: Stored, tmp_path: Path
) -> None:
    tracker = begin()
    tracker.dataset("digits", "d" * 64, {}, "validation")
    for step, accuracy, best in ((1, 0.1, True), (2, 0.3, True), (3, 0.2, False), (4, 0.25, False)):
        tracker.log({"val/accuracy": accuracy}, step)
        folder = saved(tmp_path / "checkpoint", f"weights of {step}")
        tracker.checkpoint(folder, tracker.ranking(step, {"val/accuracy": accuracy}), best)
        (folder / "weights").unlink()  # the caller may
    assert tracker.finish("FINISHED") == 0
    models = Models(tracker.store, tracker.run_id)
    found = [(c.step, sorted(c.roles), c.metrics) for c in models.checkpoints()]
    assert found == [
        (2, ["best"], {"val/accuracy": 0.3}),
        (4, ["last"], {"val/accuracy": 0.25}),
    ]
    folder, step = models.fetch("best", tmp_path / "fetched")
    assert (step, (folder / "weights").read_text()) == (2, "weights of 2")
    left = list((tracker.store.location.root / "artifacts").rglob("weights"))
    assert len(left) == 2
    history = stored(tracker.store, tracker.run_id, "val/accuracy")
    assert history == [(1, 0.1), (2, 0.3), (3, 0.2), (4, 0.25)]


def test_a_checkpoint_that_is_published_later_repeats_no_point(
    begin: Begin, saved: Saved, stored: Stored, tmp_path: Path
) -> None:
    """Training has logged on while it was written; MLflow keeps a point of one time once."""
    tracker = begin()
    tracker.log({"val/loss": 0.5}, 1)
    ranking = tracker.ranking(1, {"val/loss": 0.5})
    tracker.log({"val/loss": 0.4}, 2)
    tracker.checkpoint(saved(tmp_path / "c", "w"), ranking, best=True)
    tracker.log({"val/loss": 0.3}, 3)
    assert tracker.finish("FINISHED") == 0
    assert stored(tracker.store, tracker.run_id, "val/loss") == [(1, 0.5), (2, 0.4), (3, 0.3)]
    (found,) = Models(tracker.store, tracker.run_id).checkpoints()
    assert found.metrics == {"val/loss": 0.5}


def test_checkpoints_that_are_superseded_before_they_are_sent_are_not_sent(
    begin: Begin, saved: Saved, outage: Outage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = begin()
    sent: list[int] = []
    publish = Models.publish

    def noted(self: Models, folder: Path, step: int, *rest: Any) -> str:
        sent.append(step)
        return publish(self, folder, step, *rest)

    monkeypatch.setattr(Models, "publish", noted)
    with outage():
        for step in range(1, 7):
            folder = saved(tmp_path / "checkpoint", str(step))
            tracker.checkpoint(
                folder, tracker.ranking(step, {"val/accuracy": -abs(step - 3.0)}), best=step <= 3
            )
    assert tracker.finish("FINISHED") == 0
    assert sent == [3, 6]
    found = Models(tracker.store, tracker.run_id).checkpoints()
    assert [(c.step, sorted(c.roles)) for c in found] == [(3, ["best"]), (6, ["last"])]


def test_one_checkpoint_is_best_and_last(begin: Begin, saved: Saved, tmp_path: Path) -> None:
    tracker = begin()
    tracker.checkpoint(saved(tmp_path / "c", "w"), tracker.ranking(5, {"val/loss": 0.1}), best=True)
    tracker.finish("FINISHED")
    models = Models(tracker.store, tracker.run_id)
    assert [(c.step, sorted(c.roles)) for c in models.checkpoints()] == [(5, ["best", "last"])]


def test_an_interrupted_upload_is_swept_and_sent_again_on_resume(
    begin: Begin, saved: Saved, stored: Stored, tmp_path: Path
) -> None:
    tracker = begin()
    tracker.checkpoint(saved(tmp_path / "c", "w"), tracker.ranking(5, {"val/loss": 0.1}), best=True)
    tracker.finish("KILLED")
    store, run_id = tracker.store, tracker.run_id
    experiment = store.recorded(run_id).experiment_id
    store.client.create_logged_model(
        experiment, "checkpoint-9", run_id, {}, {"step": "9"}, "checkpoint"
    )
    resumed = begin(run_id)
    resumed.checkpoint(
        saved(tmp_path / "c2", "w"), resumed.ranking(5, {"val/loss": 0.1}), best=True
    )  # repeated
    resumed.finish("FINISHED")
    found = store.client.search_logged_models([experiment], f"source_run_id='{run_id}'")
    assert [(model.name, str(model.status)) for model in found] == [("checkpoint-5", "READY")]
    assert stored(store, run_id, "val/loss") == [(5, 0.1)]


def test_publishing_deletes_the_checkpoints_that_have_lost_their_roles(
    begin: Begin, saved: Saved, tmp_path: Path
) -> None:
    tracker = begin()
    models = Models(tracker.store, tracker.run_id)
    roles = [("best", "last"), ("best", "last"), ("last",), ("last",)]
    left = []
    for step, given in enumerate(roles, start=1):  # each is sent: nothing is coalesced here
        models.publish(saved(tmp_path / "c", f"weights of {step}"), step, frozenset(given), [])
        left.append([(c.step, "+".join(sorted(c.roles))) for c in models.checkpoints()])
    assert left == [
        [(1, "best+last")],
        [(2, "best+last")],
        [(2, "best"), (3, "last")],
        [(2, "best"), (4, "last")],
    ]
    files = (tracker.store.location.root / "artifacts").rglob("weights")
    assert sorted(file.read_text() for file in files) == ["weights of 2", "weights of 4"]


def test_a_checkpoint_that_arrived_is_not_uploaded_again(
    begin: Begin, saved: Saved, tmp_path: Path
) -> None:
    tracker = begin()
    models = Models(tracker.store, tracker.run_id)
    folder = saved(tmp_path / "c", "w")
    first = models.publish(folder, 5, frozenset({"last"}), [])
    assert models.publish(folder, 5, frozenset({"best"}), []) == first
    assert [(c.step, sorted(c.roles)) for c in models.checkpoints()] == [(5, ["best", "last"])]


def test_no_checkpoint_of_a_role_is_told(begin: Begin, tmp_path: Path) -> None:
    tracker = begin()
    tracker.finish("FINISHED")
    with pytest.raises(StoreError, match="has no best checkpoint"):
        Models(tracker.store, tracker.run_id).fetch("best", tmp_path)


def test_checkpoints_with_values_that_are_not_finite_never_rank_best(
    begin: Begin, saved: Saved, tmp_path: Path
) -> None:
    folder = saved(tmp_path / "c")
    runs = {}
    for value in (0.5, math.nan, math.inf, -math.inf, 0.25):
        tracker = begin()
        tracker.checkpoint(folder, tracker.ranking(5, {"val/loss": value}), best=True)
        tracker.finish("FINISHED")
        runs[tracker.run_id] = value
    client = tracker.store.client
    experiment = tracker.store.recorded(tracker.run_id).experiment_id
    for ascending, best in ((True, [0.25, 0.5]), (False, [0.5, 0.25])):
        order = [{"field_name": "metrics.val/loss", "ascending": ascending}]
        found = client.search_logged_models([experiment], order_by=order)
        assert [runs[model.source_run_id] for model in found[:2]] == best
        assert {model.tags.get("nonfinite/val/loss") for model in found[2:]} == {
            "nan",
            "inf",
            "-inf",
        }
