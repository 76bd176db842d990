"""A run on a server needs nothing but its id: another folder, as on another machine, goes on."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import killing
import pytest
from comparing import Difference, compare
from serving import Server

from pipeline import tracking
from pipeline.config import Tracking
from pipeline.train import compose, fit

pytestmark = pytest.mark.slow

RUN = (*killing.CONFIGURATIONS["dense"], *killing.BASE)


@pytest.fixture
def server(new_store, tmp_path: Path):
    (tmp_path / "served").mkdir()
    found = Server(Tracking(root=str(new_store(tmp_path / "served"))))
    found.start()
    yield found
    found.kill()


@pytest.mark.exhaustive
def test_a_killed_run_of_a_server_goes_on_in_another_folder(
    runner, server: Server, tmp_path: Path
) -> None:
    address = ("tracking=server", f"tracking.uri={server.uri}")
    here, there = tmp_path / "here" / "mlruns", tmp_path / "there" / "mlruns"
    here.parent.mkdir()
    expected = fit(compose("train", [*RUN, *address, f"tracking.root={there}"])).run_id

    process = killing.train(runner, here, *RUN, *address)
    run_id = killing.run_id(process)
    published = tracking.open_store(Tracking(root=str(there), uri=server.uri))
    while not _checkpoints(published, run_id):  # on the server, later than the first
        assert not process.ended, process.said()
    process.forked.kill()
    process.forked.wait()
    shutil.rmtree(here)  # that machine is gone

    resumed = fit(compose("train", [f"resume={run_id}", *address, f"tracking.root={there}"]))
    assert (resumed.run_id, resumed.status) == (run_id, "FINISHED")
    # All of its points up to the checkpoint had been sent before that was.
    assert compare(published, expected, run_id) == Difference()


def _checkpoints(store: Any, run_id: str) -> list[int]:
    from pipeline.tracking.models import Models

    return [c.step for c in Models(store, run_id).checkpoints() if c.step > 0]
