"""A project folder that was copied, with its runs in it: every verb works there again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
LONG = "x" * 7000

# As few processes as can be, because each loads TensorFlow for itself.
FIRST = """
import json, os, sys
from pathlib import Path
from pipeline import doctor, evaluate
from pipeline.errors import StoreError
from pipeline.tracking import tracker
from pipeline.tracking.store import Store
from pipeline.train import compose, fit
short = ["+experiment=digits", "trainer.duration=40 steps", "trainer.checkpoint_every=20 steps",
         "trainer.evaluate_every=20 steps", "tracking.system_metrics=false",
         f"trusted_packages=[{sys.argv[1]}]"]
def listing(folder):
    return {str(p): p.stat().st_mtime_ns for p in Path(folder).rglob("*") if p.is_file()}
def train(*overrides):
    return fit(compose("train", list(overrides)), list(overrides))
"""
THERE = (
    FIRST
    + """
old = listing("../old")
try:
    train(*short)
except StoreError as error:
    print(error)
assert doctor.main([]) == 1
assert doctor.main(["--apply"]) == 0
assert evaluate.main(["run=latest"]) == 0
more = train("resume=latest", "trainer.duration=60 steps")
assert more.status == "FINISHED"
new = train(*short).run_id
def refuse(*_):
    raise ConnectionError("the store is gone")
Store.send_points, tracker.PATIENCE = refuse, 0.1
train(*short)
assert listing("../old") == old, set(listing("../old").items()) ^ set(old.items())
print(json.dumps(new))
"""
)


@pytest.mark.exhaustive
def test_a_copied_project_trains_evaluates_resumes_and_shows_its_runs(
    tmp_path: Path, tfds_folder: str
) -> None:
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}

    def run(code: str, folder: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", code, LONG]
        done = subprocess.run(
            command, cwd=tmp_path / folder, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done

    (tmp_path / "old").mkdir()
    run(FIRST + "train(*short)", "old")
    shutil.copytree(tmp_path / "old", tmp_path / "new")
    done = run(THERE, "new")
    assert f"still name {tmp_path}/old/mlruns/artifacts. Rewrite them with: python" in done.stdout
    assert "identical to the record" in done.stdout
    [warning] = [line for line in done.stderr.splitlines() if line.startswith("warning: ")]
    assert "have not reached sqlite:///" in warning
    assert "(the store is gone). They are kept in " in warning
    assert warning.endswith("deliver them with: python -m pipeline.doctor --apply")
    new = json.loads(done.stdout.splitlines()[-1])

    from pipeline import tracking
    from pipeline.config import Tracking

    root = tmp_path / "new" / "mlruns"
    store = tracking.open_store(Tracking(root=str(root)))
    assert (root / "artifacts" / new / "artifacts" / "config.yaml").exists()
    # A value longer than MLflow's params is cut and marked; the config has it whole.
    run = store.recorded(new)
    text = f"['{LONG}']"
    assert run.params["trusted_packages"] == text[:6000]
    said = run.tags["cut/trusted_packages"]
    assert said == f"{len(text)} characters; whole in the config artifact"
    assert LONG in store.text(new, "config.yaml")

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (tmp_path / "old").rename(tmp_path / "away")
    ui = subprocess.Popen(
        [sys.executable, "-m", "pipeline.ui", f"port={port}"],
        cwd=tmp_path / "new",
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert ui.stdout is not None
        assert ui.stdout.readline() + ui.stdout.readline()
        page = f"http://127.0.0.1:{port}/get-artifact?path=config.yaml&run_uuid={new}"
        with urllib.request.urlopen(page) as answer:
            assert LONG in answer.read().decode()
    finally:
        ui.send_signal(signal.SIGINT)
        ui.wait(timeout=20)
    assert not (tmp_path / "old").exists()
