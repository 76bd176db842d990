"""What differs from the surroundings of a record, line by line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from pipeline.tracking.changes import Change, changed_surroundings, remarks
from pipeline.tracking.store import RecordedRun, Store
from pipeline.tracking.surroundings import Surroundings, surroundings

DIGESTS = {"train": "1" * 64, "validation": "2" * 64, "test": "3" * 64}
CONTEXTS = ("training", "validation", "test")
PATCH = "diff --git a/a.py b/a.py\n--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-x\r\n+y\r\n"


@pytest.fixture
def then(tmp_path) -> Surroundings:
    return replace(
        surroundings(["CPU:0"], tmp_path),
        commit="c" * 40,
        patch=PATCH,
        packages={"numpy": "2.0", "tensorflow": "2.21", "zipp": "1"},
    )


Record = Callable[[Surroundings], tuple[Store, RecordedRun]]


@pytest.fixture
def record(begin) -> Record:
    """A run of which the store holds these surroundings."""

    def write(around: Surroundings, **tags: str) -> tuple[Store, RecordedRun]:
        run = begin(tags=tags)
        run.tags(around.tags())
        for path, text in around.files().items():
            run.text(text, path)
        for context, digest in zip(CONTEXTS, DIGESTS.values(), strict=True):
            run.dataset("digits", digest, {}, context)
        assert run.finish("FINISHED") == 0
        return run.store, run.store.recorded(run.run_id)

    return write


def test_nothing_differs_where_nothing_does(record: Record, then: Surroundings) -> None:
    store, run = record(then)
    assert changed_surroundings(store, run, then, DIGESTS) == []
    assert list(remarks(store, run)) == []


def test_every_difference_is_a_line_recorded_to_now(record: Record, then: Surroundings) -> None:
    store, run = record(then)
    now = replace(
        then,
        commit="d" * 40,
        patch="",
        packages={"numpy": "2.1", "tensorflow": "2.21", "attrs": "3"},
        python="3.12.1",
        cpus=then.cpus + 1,
        devices=("CPU:0", "CPU:1"),
        host="another",
    )
    found = changed_surroundings(store, run, now, {**DIGESTS, "test": "4" * 64})
    assert [str(change) for change in found] == [
        "commit: cccccccccccc -> dddddddddddd",
        f"uncommitted patch: {found[1].recorded} -> none",
        "attrs: not installed -> 3",
        "numpy: 2.0 -> 2.1",
        "zipp: 1 -> not installed",
        f"python: {then.python} -> 3.12.1",
        f"cpus: {then.cpus} -> {then.cpus + 1}",
        "devices: CPU:0 -> CPU:0, CPU:1",
        "data digest of test: 333333333333 -> 444444444444",
    ]
    assert found[1].recorded.startswith("1 file (")


def test_another_patch_is_told_apart(record: Record, then: Surroundings) -> None:
    store, run = record(then)
    (change,) = changed_surroundings(store, run, replace(then, patch=PATCH + "\n"), DIGESTS)
    assert change.what == "uncommitted patch"


def test_many_packages_are_listed_short_with_changed_versions_first(
    record: Record, then: Surroundings
) -> None:
    many = {f"a{number:02}": "1" for number in range(14)}
    store, run = record(replace(then, packages={**many, "zoo": "1"}))
    found = changed_surroundings(store, run, replace(then, packages={"zoo": "2"}), DIGESTS)
    assert found[0] == Change("zoo", "1", "2")
    assert found[-1] == Change("further packages", "a11, a12, a13", "other versions")
    assert len(found) == 13


def test_a_run_without_surroundings_says_not_recorded(begin, then: Surroundings) -> None:
    run = begin()
    run.finish("FINISHED")
    record = run.store.recorded(run.run_id)
    found = {c.what: c.recorded for c in changed_surroundings(run.store, record, then, DIGESTS)}
    assert found["uncommitted patch"] == found["packages"] == found["devices"] == "not recorded"
    assert found["commit"] == "none"


def test_what_a_record_cannot_give_back_is_said(record, then: Surroundings) -> None:
    names = ("a.py", "b.py", "c.py", "d.py", "e.py", "f.py", "mlruns/x", "in/mlruns/y")
    tags = {"resumed/trainer.duration": "9 epochs", "deterministic": "false"}
    store, run = record(replace(then, untracked=names), **tags)
    assert list(remarks(store, run)) == [
        "the record was made with 6 untracked files, which no patch holds: a.py, b.py, c.py, d.py, "
        "e.py and 1 more",
        "the record was resumed with trainer.duration=9 epochs; its last config is run again from "
        "step 0",
        "the record gave up determinism (trainer.deterministic=false)",
    ]
