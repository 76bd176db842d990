"""A real MLflow server: killed and restarted in mid-run, and as ``pipeline.ui`` starts it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import psutil
import pytest
from serving import Server, free_port

from pipeline import tracking
from pipeline.config import Tracking
from pipeline.tracking.models import Models

pytestmark = pytest.mark.slow


@pytest.mark.exhaustive
def test_a_server_that_dies_and_returns_has_every_point_once(
    config: Tracking, saved: Any, stored: Any, tmp_path: Path
) -> None:
    server = Server(config)
    server.start()
    away = Tracking(root=str(tmp_path / "here"), uri=server.uri, system_metrics=False)
    try:
        tracker = tracking.start(away, params={"seed": 0})
        for step in range(6_000):
            tracker.log({"loss": step / 3}, step)
            if step == 3_000:
                server.kill()
                ranking = tracker.ranking(step, {"val/loss": 0.5})
                tracker.checkpoint(saved(tmp_path / "c"), ranking, best=True)
        server.start()
        assert tracker.finish("FINISHED") == 0
        store = tracking.open_store(away)
        assert stored(store, tracker.run_id) == [(s, s / 3) for s in range(6_000)]
        assert store.recorded(tracker.run_id).status == "FINISHED"
        folder, step = Models(store, tracker.run_id).fetch("best", tmp_path / "fetched")
        assert (step, (folder / "weights").read_text()) == (3_000, "w")

        # On another machine, where no journal is: what the store has is not sent again.
        elsewhere = Tracking(**{**vars(away), "root": str(tmp_path / "there")})
        resumed = tracking.start(elsewhere, resume_run_id=tracker.run_id)
        for step in range(5_990, 6_010):
            resumed.log({"loss": step / 3}, step)
        assert resumed.finish("FINISHED") == 0
        history = store.history(tracker.run_id, "loss")
        assert [p.step for p in history] == list(range(6_010))

        models = Models(store, tracker.run_id)
        models.publish(saved(tmp_path / "c", "newer"), 6_009, frozenset({"best", "last"}), [])
        assert store.recorded(tracker.run_id).artifact_uri.startswith("mlflow-artifacts:")
        kept = (Path(config.root) / "artifacts").rglob("weights")
        assert [file.read_text() for file in kept] == ["newer"]
    finally:
        server.kill()


@pytest.mark.exhaustive
def test_the_ui_shows_the_runs_and_leaves_no_process_behind(config: Tracking) -> None:
    tracker = tracking.start(config)
    tracker.finish("FINISHED")
    port = free_port()
    command = [sys.executable, "-m", "pipeline.ui", f"tracking.root={config.root}", f"port={port}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        lines = [process.stdout.readline() for _ in range(2)]
        assert lines[1].startswith(f"http://127.0.0.1:{port}")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as page:
            assert b"<title>MLflow</title>" in page.read()
        api = f"http://127.0.0.1:{port}/api/2.0/mlflow"
        with urllib.request.urlopen(f"{api}/experiments/get-by-name?experiment_name=default") as a:
            assert json.load(a)["experiment"]["name"] == "default"
        with urllib.request.urlopen(f"{api}/runs/get?run_id={tracker.run_id}") as answer:
            assert json.load(answer)["run"]["info"]["status"] == "FINISHED"
        children = psutil.Process(process.pid).children(recursive=True)
        second = subprocess.run(command, capture_output=True, text=True)
        assert second.returncode == 2
        assert f"error: port={port} on 127.0.0.1 is taken" in second.stderr
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=20)
    assert process.returncode == 0
    assert children
    assert not any(child.is_running() for child in children)


def test_the_ui_without_a_store_says_what_to_do(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pipeline.ui", f"tracking.root={tmp_path / 'none'}"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "There is no store at" in done.stderr
    assert not (tmp_path / "none").exists()
