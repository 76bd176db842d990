"""Who holds an alias: judged by score and data, kept in a real registry."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import StoreError
from pipeline.tracking import registry
from pipeline.tracking.models import Models
from pipeline.tracking.registry import Candidate, Holder, Registry, judge
from pipeline.tracking.store import Store

OURS = Candidate("r2", "m-2", "", "test/accuracy", 0.98, "max", "d" * 64, "c" * 64, "val/accuracy")
THEIRS = Holder("1", "r1", replace(OURS, model_id="m-1", value=0.96).tags())


def test_a_better_score_on_the_same_data_wins() -> None:
    verdict = judge(OURS, THEIRS, anyway=False)
    assert verdict.given
    assert verdict.reason == "test/accuracy 0.98 beats 0.96 of version 1 (run r1) by 0.02"


@pytest.mark.parametrize("anyway", [False, True])
def test_a_worse_score_says_by_how_much(anyway: bool) -> None:
    verdict = judge(replace(OURS, value=0.9477), THEIRS, anyway)
    assert not verdict.given
    assert verdict.reason == (
        "test/accuracy 0.9477 does not beat version 1 (run r1), which keeps it: it is 0.0123 "
        "below 0.96"
    )


def test_a_tie_leaves_it_where_it_is() -> None:
    verdict = judge(replace(OURS, value=0.96), THEIRS, anyway=True)
    assert not verdict.given
    assert "no better than that of version 1 (run r1), which keeps it" in verdict.reason


def test_less_is_better_where_the_objective_is_minimised() -> None:
    loss = replace(OURS, metric="test/loss", mode="min", objective="val/loss", value=0.5)
    held = Holder("1", "r1", replace(loss, model_id="m-1", value=0.4).tags())
    assert judge(replace(loss, value=0.3), held, False).given
    assert judge(loss, held, False).reason.endswith("it is 0.1 above 0.4")


def test_nobody_is_beaten_by_anybody_with_a_score() -> None:
    assert judge(OURS, None, anyway=False).given
    for value in (None, math.nan, math.inf):
        verdict = judge(replace(OURS, value=value), None, anyway=True)
        assert not verdict.given
        assert verdict.reason == "run r2 has no finite test/accuracy"


def test_the_holder_stays_when_it_is_exported_again() -> None:
    verdict = judge(OURS, Holder("4", "r2", OURS.tags()), anyway=False)
    assert (verdict.given, verdict.reason) == (True, "test/accuracy 0.98; it held it already")


@pytest.mark.parametrize(
    ("tags", "why"),
    [
        ({"dataset.digest": "e" * 64}, "measured on other data (eeeeeeeeeeee, this one dddddddddd"),
        ({"metric": "test/loss"}, "that one has test/loss (max), this one test/accuracy (max)"),
        ({"mode": "min"}, "that one has test/accuracy (min), this one test/accuracy (max)"),
        ({"dataset.digest": None}, "the digest of the data is not known of both"),
        ({"value": None}, "was not registered by pipeline.export and has no score"),
    ],
)
def test_what_cannot_be_compared_is_refused_unless_anyway(tags: dict[str, Any], why: str) -> None:
    changed = {k: v for k, v in {**THEIRS.tags, **tags}.items() if v is not None}
    holder = replace(THEIRS, tags=changed)
    verdict = judge(replace(OURS, value=0.1), holder, anyway=False)
    assert not verdict.given
    assert why in verdict.reason
    assert verdict.reason.endswith("--anyway gives it all the same")
    taken = judge(replace(OURS, value=0.1), holder, anyway=True)
    assert taken.given
    assert why in taken.reason


# In MLflow ---------------------------------------------------------------------------------------


@pytest.fixture
def candidate(begin: Callable[..., Any], tmp_path: Path) -> Callable[[float], Candidate]:
    """``candidate(score)``: a run with a model in the store."""

    def make(value: float) -> Candidate:
        tracker = begin()
        assert tracker.finish("FINISHED") == 0
        folder = tmp_path / "model"
        folder.mkdir(exist_ok=True)
        (folder / "weights").write_text("w")
        models = Models(tracker.store, tracker.run_id)
        models.publish_model(folder, "model", 1, [])
        found = models.final()
        assert found is not None
        return replace(
            OURS, run_id=tracker.run_id, model_id=found[0], location=found[1], value=value
        )

    return make


@pytest.fixture
def store(config: Any) -> Store:
    return Store.open(config)


@pytest.mark.slow
def test_the_alias_goes_from_version_to_better_version(store: Store, candidate) -> None:
    models = Registry(store)
    first, second, third = candidate(0.9), candidate(0.8), candidate(0.95)
    assert models.register("digits", first, "champion").version == "1"
    lost = models.register("digits", second, "champion")
    assert lost.version == "2"
    assert lost.verdict is not None
    assert "it is 0.1 below 0.9" in lost.verdict.reason
    holder = models.holder("digits", "champion")
    assert holder is not None
    assert (holder.version, holder.run_id) == ("1", first.run_id)
    models.register("digits", third, "champion")
    holder = models.holder("digits", "champion")
    assert holder is not None
    assert (holder.version, holder.tags["value"]) == ("3", "0.95")
    assert holder.tags["dataset.digest"] == "d" * 64
    assert models.holder("digits", "other") is models.holder("other", "champion") is None


@pytest.mark.slow
def test_the_same_model_is_one_version_however_often_it_is_exported(
    store: Store, candidate
) -> None:
    models, one = Registry(store), candidate(0.9)
    assert {models.register("digits", one).version for _ in range(3)} == {"1"}
    assert models.register("digits", one).verdict is None
    assert models.register("other", one).version == "1"
    tag = store.client.get_logged_model(one.model_id).tags[registry.VERSIONS_TAG]
    assert tag == '[{"name": "digits", "version": "1"}, {"name": "other", "version": "1"}]'
    version = store.client.get_model_version("digits", "1")
    assert (version.source, version.run_id) == (one.location, one.run_id)


@pytest.mark.slow
def test_of_exports_that_race_the_best_holds_the_alias(
    store: Store, candidate, monkeypatch: pytest.MonkeyPatch
) -> None:
    def judge_slowly(*arguments: Any) -> Any:
        verdict = judge(*arguments)
        time.sleep(0.05)  # in which the others would judge by the same holder
        return verdict

    monkeypatch.setattr(registry, "judge", judge_slowly)
    many = [candidate(value) for value in (0.97, 0.95, 0.99, 0.96)]
    threads = [
        threading.Thread(target=Registry(store).register, args=("digits", one, "champion"))
        for one in many
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    holder = Registry(store).holder("digits", "champion")
    assert holder is not None
    assert holder.tags["value"] == "0.99"
    assert sorted(v.version for v in store.client.search_model_versions("name='digits'")) == [
        1,
        2,
        3,
        4,
    ]


def test_what_the_registry_refuses_is_said_in_its_words(store: Store, candidate) -> None:
    with pytest.raises(StoreError, match="Names cannot contain '/' or ':'"):
        Registry(store).register("a/b", candidate(0.9))
