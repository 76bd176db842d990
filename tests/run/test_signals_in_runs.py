"""Signals that come at awkward moments: twice, as a run is made or ended, before there is one."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from pipeline import tracking
from pipeline.config import Tracking

pytestmark = pytest.mark.slow

DIGITS = ("+experiment=digits", "model.layers.hidden.units=16", "schedule=constant")


def test_second_signal_stops_at_once_without_saving(command, tmp_path: Path) -> None:
    """Both come in one call into the graph, of many seconds, which no handler interrupts."""
    process = command(
        "train",
        *DIGITS,
        "trainer.duration=100000000 steps",
        "trainer.evaluate_every=100000000 steps",
        "trainer.checkpoint_every=100000000 steps",
        "trainer.log_every=1000000 steps",
        "trainer.steps_per_call=1000000",
        "trainer.stop_within=600",
        "tracking.system_metrics=false",
        cwd=tmp_path,
    )
    for line in process.stdout:
        if re.match(r"step \d+/100000000 ", line):  # at the end of a call; the next is longer
            break
    else:
        raise AssertionError(process.stderr.read())
    before = _processor_seconds(process.pid)
    while _processor_seconds(process.pid) < before + 0.5:  # well in the call
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    # The second would be the same one still.
    while _signals(process.pid, "ShdPnd") >> (signal.SIGINT - 1) & 1:
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    told = r"stopped by SIGINT at once, without saving; go on with: resume=(\w{32})"
    (run_id,) = re.findall(told, out)
    assert out.splitlines()[-1] == f"run_id={run_id} status=KILLED"
    store = tracking.open_store(Tracking(root=str(tmp_path / "mlruns")))
    assert store.recorded(run_id).status == "KILLED"
    (folder,) = (tmp_path / "mlruns" / "work").glob("*/checkpoints")
    assert [path.name for path in folder.iterdir()] == ["step-00000000"]


def test_second_signal_while_a_run_is_ended_leaves_it_ended(
    fit, store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It comes when all is saved and the rest is being delivered, which it would cut off."""
    from pipeline.recording import Recorder
    from pipeline.run_checkpoints import RunCheckpoints

    show, close, signalled = Recorder.show, RunCheckpoints.close, []

    def show_and_signal(self: Any, *arguments: Any) -> None:
        show(self, *arguments)
        if not signalled:
            signalled.append(os.kill(os.getpid(), signal.SIGINT))

    def close_and_signal(self: Any, **options: Any) -> None:
        signalled.append(os.kill(os.getpid(), signal.SIGINT))
        close(self, **options)

    monkeypatch.setattr(Recorder, "show", show_and_signal)
    monkeypatch.setattr(RunCheckpoints, "close", close_and_signal)
    with pytest.raises(SystemExit) as ended:
        fit(*DIGITS, "trainer.duration=1000000 steps")
    assert (ended.value.code, len(signalled)) == (130, 2)
    last = capsys.readouterr().out.splitlines()[-1]
    (run_id,) = re.findall(r"^run_id=(\w{32}) status=KILLED$", last)
    assert store.recorded(run_id).status == "KILLED"


def test_a_signal_as_a_run_is_made_leaves_none_running(
    fit, store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.tracking.store import Store

    create, made = Store.create_run, []

    def create_and_signal(self: Any, *arguments: Any) -> str:
        made.append(create(self, *arguments))
        os.kill(os.getpid(), signal.SIGTERM)
        return made[-1]

    monkeypatch.setattr(Store, "create_run", create_and_signal)
    with pytest.raises(SystemExit) as ended:
        fit(*DIGITS, "trainer.duration=60 steps")
    assert ended.value.code == 143
    assert store.recorded(made[0]).status == "KILLED"


def test_a_signal_before_there_is_a_run_says_so(command, tmp_path: Path) -> None:
    """It comes while another process holds the store's lock, which training waits for."""
    (tmp_path / "mlruns").mkdir()
    with FileLock(tmp_path / "mlruns" / ".lock"):
        process = command("train", *DIGITS, cwd=tmp_path)
        while not _signals(process.pid, "SigCgt") >> (signal.SIGTERM - 1) & 1:
            time.sleep(0.001)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
    assert (process.returncode, err) == (130, "stopped by SIGINT before there was a run\n")
    assert out == ""


def _processor_seconds(pid: int) -> float:
    """That a process has used so far, in all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _signals(pid: int, which: str) -> int:
    """A set of signals of a process: ``ShdPnd``, those that wait; ``SigCgt``, those it handles."""
    status = Path(f"/proc/{pid}/status").read_text()
    (found,) = re.findall(rf"^{which}:\s+(\w+)", status, re.MULTILINE)
    return int(found, 16)
