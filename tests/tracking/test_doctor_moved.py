"""A store whose folder was moved or copied: the doctor rewrites its addresses, and no others."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from pipeline import tracking
from pipeline.config import Tracking
from pipeline.errors import StoreError
from pipeline.tracking import moved
from pipeline.tracking.location import DATABASE, locate
from pipeline.tracking.models import Models
from pipeline.tracking.tracker import Tracker

Die = Callable[[Tracker], str]
Examine = Callable[..., tuple[int, str]]
Outage = Callable[..., AbstractContextManager[None]]
Saved = Callable[..., Path]
Settled = Callable[[Tracker], Tracker]


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path): (path.stat().st_mtime_ns, path.stat().st_size)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("how", [pytest.param("copied", marks=pytest.mark.slow), "moved"])
def test_a_store_that_was_moved_or_copied_works_again_and_leaves_the_old_alone(
    config: Tracking,
    examine: Examine,
    saved: Saved,
    settled: Settled,
    die: Die,
    outage: Outage,
    tmp_path: Path,
    how: str,
) -> None:
    old = Path(config.root)
    tracker = tracking.start(config)
    tracker.text("hello", "config.yaml")
    tracker.checkpoint(
        saved(tmp_path / "c", "weights"), tracker.ranking(5, {"loss": 0.1}), best=True
    )
    tracker.finish("KILLED")
    waiting = settled(tracking.start(config))
    with outage():
        waiting.text("late", "late.txt")
        unsent = die(waiting)
    root = tmp_path / "project #2" / "mlruns"
    root.parent.mkdir()
    if how == "copied":
        shutil.copytree(old, root)
        before = listing(old)
    else:
        old.rename(root)
    here = Tracking(root=str(root), system_metrics=False)

    for use in (
        lambda: tracking.start(here),
        lambda: tracking.start(here, resume_run_id=tracker.run_id),
        lambda: tracking.open_store(here).text(tracker.run_id, "config.yaml"),
    ):
        with pytest.raises(StoreError, match=f"still name {old}/artifacts. Rewrite them with: py"):
            use()
    unchanged = (root / DATABASE).read_bytes()
    code, said = examine(root=root)
    assert (code, (root / DATABASE).read_bytes() == unchanged) == (1, True)
    assert f"artifact addresses still name {old}/artifacts: it was moved or copied" in said
    assert examine("--apply", root=root)[0] == 0

    store = tracking.open_store(here)
    assert store.text(tracker.run_id, "config.yaml") == "hello"
    assert store.text(unsent, "late.txt") == "late"
    folder, _ = Models(store, tracker.run_id).fetch("best", tmp_path / "fetched")
    assert (folder / "weights").read_text() == "weights"
    resumed = tracking.start(here, resume_run_id=tracker.run_id)
    resumed.checkpoint(
        saved(tmp_path / "c", "later"), resumed.ranking(9, {"loss": 0.05}), best=True
    )
    assert resumed.finish("FINISHED") == 0
    new = tracking.start(here)
    new.text("new", "new.txt")
    assert new.finish("FINISHED") == 0
    assert (root / "artifacts" / new.run_id / "artifacts" / "new.txt").read_text() == "new"
    assert [file.read_text() for file in (root / "artifacts").rglob("weights")] == ["later"]
    if how == "copied":
        assert listing(old) == before
    else:
        assert not old.exists()
    assert examine(root=root) == (0, "nothing is wrong\n")


def test_addresses_that_lie_elsewhere_on_purpose_are_left(
    config: Tracking, examine: Examine, tmp_path: Path
) -> None:
    store = tracking.open_store(config)
    for place in ("/not/mounted/artifacts", "s3://bucket/artifacts", str(tmp_path / "artifacts")):
        experiment = store.client.create_experiment(place.replace("/", "-"), place)
        store.client.create_run(experiment)
    (tmp_path / "artifacts").mkdir()
    assert examine()[0] == 0
    # One database for two folders: the other's runs are not taken over.
    other = Tracking(root=str(tmp_path / "b"), uri=locate(config).uri, system_metrics=False)
    tracker = tracking.start(config)
    tracker.text("a", "a.txt")
    tracker.finish("FINISHED")
    assert moved.find(locate(other)) == []


def test_a_store_that_a_process_uses_by_its_other_path_is_not_rewritten(
    config: Tracking, examine: Examine, settled: Settled, tmp_path: Path
) -> None:
    tracker = tracking.start(config)
    tracker.text("a", "a.txt")
    settled(tracker)
    root = Path(config.root).rename(tmp_path / "moved")
    before = (root / DATABASE).read_bytes()
    code, said = examine("--apply", root=root)
    assert code == 1
    assert f"not done: run {tracker.run_id} is being trained: wait until it has ended" in said
    assert (root / DATABASE).read_bytes() == before
    root.rename(config.root)
    tracker.finish("FINISHED")
