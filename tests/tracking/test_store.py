"""Stores that cannot be used say so, quickly; runs are found by id or the beginning of one."""

from __future__ import annotations

import errno
import os
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import tracking
from pipeline.config import Tracking
from pipeline.errors import StoreError
from pipeline.tracking.location import DATABASE, locate
from pipeline.tracking.tracker import Tracker

Begin = Callable[..., Tracker]


def refusal(config: Tracking) -> str:
    began = time.monotonic()
    with pytest.raises(StoreError) as refused:
        tracking.open_store(config)
    assert time.monotonic() - began < 5
    assert refused.value.exit_code == 2
    return str(refused.value)


def test_the_default_store_lies_in_the_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    location = locate(Tracking())
    assert location.uri == f"sqlite:///{tmp_path}/mlruns/mlflow.db"
    assert location.artifacts == f"file://{tmp_path}/mlruns/artifacts"
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_place_of_the_root_is_told(tmp_path: Path) -> None:
    (tmp_path / "mlruns").write_text("")
    text = refusal(Tracking(root=str(tmp_path / "mlruns")))
    assert "a file stands where the folder" in text
    assert "Set tracking.root to a folder that can be written, or use tracking=off." in text


def test_a_folder_that_cannot_be_written_is_told() -> None:
    text = refusal(Tracking(root="/proc/mlruns"))
    assert text.startswith("tracking.root=/proc/mlruns: /proc/mlruns cannot be written (")


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_a_disk_that_takes_nothing_is_told(
    config: Tracking, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(**_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    assert f"{config.root} cannot be written ({os.strerror(code)})" in refusal(config)


def test_a_database_that_is_none_is_told(config: Tracking) -> None:
    (Path(config.root) / DATABASE).write_text("these are notes, and long enough to be read\n" * 99)
    text = refusal(config)
    assert "file is not a database. Restore it from a backup, or move it away" in text


def test_a_database_of_another_mlflow_is_told(config: Tracking) -> None:
    with sqlite3.connect(Path(config.root) / DATABASE) as database:
        database.execute("UPDATE alembic_version SET version_num = '0000deadbeef'")
    assert "out-of-date database schema" in refusal(config)


@pytest.mark.parametrize(
    ("uri", "text"),
    [
        ("htp://host", "Did you mean 'http' or 'https'?"),
        ("mlruns", "For a local store leave tracking.uri out"),
        ("", "add tracking.uri=http://host:5000, or set MLFLOW_TRACKING_URI"),
    ],
)
def test_an_address_that_is_none_is_told(tmp_path: Path, uri: str, text: str) -> None:
    assert text in refusal(Tracking(root=str(tmp_path), uri=uri))


def test_a_server_that_is_not_there_is_told(tmp_path: Path) -> None:
    with socket.socket() as taken:  # bound and not listening: every connection is refused
        taken.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{taken.getsockname()[1]}"
        text = refusal(Tracking(root=str(tmp_path), uri=uri))
    assert text.startswith(f"No MLflow server answers at tracking.uri={uri}")
    assert "tracking=local" in text


def test_a_root_that_an_address_cannot_hold_is_told(tmp_path: Path) -> None:
    assert "cannot hold `?`" in refusal(Tracking(root=str(tmp_path / "a?b")))


def test_odd_roots_work(config: Tracking, tmp_path: Path) -> None:
    root = Path(config.root).rename(tmp_path / "50% ünï with#hash")
    tracker = tracking.start(Tracking(root=str(root), system_metrics=False))
    tracker.text("hello", "notes/a.txt")
    assert tracker.finish("FINISHED") == 0
    store = tracking.open_store(Tracking(root=str(root)))
    assert store.text(tracker.run_id, "notes/a.txt") == "hello"
    assert (root / "artifacts" / tracker.run_id / "artifacts/notes/a.txt").exists()


def test_runs_are_found_by_id_by_its_beginning_and_as_the_latest(
    begin: Begin, config: Tracking
) -> None:
    first = begin()
    config.experiment = "other"
    second = begin()
    store = first.store
    assert store.find(first.run_id[:6]) == first.run_id
    assert store.latest() == second.run_id
    assert store.latest("default") == first.run_id
    with pytest.raises(
        StoreError, match="There is no experiment 'defalt' .* Did you mean 'default'"
    ):
        store.latest("defalt")
    wrong = first.run_id[:-1] + "x"
    with pytest.raises(StoreError, match=f"There is no run '{wrong}' .*Nearest: {first.run_id}"):
        store.recorded(wrong)


def test_an_artifact_that_is_not_there_is_told(begin: Begin, tmp_path: Path) -> None:
    tracker = begin()
    tracker.text("a", "config/composed.yaml")
    tracker.finish("FINISHED")
    with pytest.raises(StoreError, match=r"has no artifact 'config/compose.yaml'. Did you mean"):
        tracker.store.text(tracker.run_id, "config/compose.yaml")


def test_a_deleted_experiment_is_told(begin: Begin, config: Tracking) -> None:
    tracker = begin()
    store = tracker.store
    store.client.delete_experiment(store.experiment("default"))
    with pytest.raises(StoreError, match="'default' was deleted. Bring it back with"):
        begin()
    store.client.restore_experiment("1")


def test_an_empty_store_has_no_latest_run(config: Tracking) -> None:
    with pytest.raises(StoreError, match="There is no run in .* yet"):
        tracking.open_store(config).latest()


@pytest.mark.exhaustive
def test_eight_processes_at_once_make_one_store(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from pipeline import tracking\n"
        "from pipeline.config import Tracking\n"
        "tracker = tracking.start(Tracking(root=sys.argv[1], system_metrics=False))\n"
        "tracker.log({'loss': 1.0}, 1)\n"
        "sys.exit(tracker.finish('FINISHED'))\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "mlruns")]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for _ in range(8)
    ]
    outputs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 8, outputs
    assert outputs == [b""] * 8  # nothing of MLflow's own log either
    store = tracking.open_store(Tracking(root=str(tmp_path / "mlruns")))
    names = sorted(found.name for found in store.client.search_experiments())
    assert names == ["Default", "default"]
    runs = store.client.search_runs([store.experiment("default")])
    assert [run.info.status for run in runs] == ["FINISHED"] * 8
    assert [run.data.metrics for run in runs] == [{"loss": 1.0}] * 8


def test_a_store_that_is_meant_to_be_there_is_not_made(tmp_path: Path) -> None:
    root = tmp_path / "mlruns"
    with pytest.raises(StoreError) as error:
        tracking.open_store(Tracking(root=str(root)), existing=True)
    assert str(error.value) == (
        f"There are no runs here: {root / 'mlflow.db'} does not exist. Start from the folder that "
        "holds mlruns, or give tracking.root=<that mlruns>."
    )
    assert not root.exists()
