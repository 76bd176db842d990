"""A run whose data is larger than the memory it may take needs no more as it goes on."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

STUDY = Path(__file__).parents[2] / "experiments" / "streaming"


@pytest.mark.exhaustive
def test_memory_is_flat_and_smaller_than_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """400,000 images of 1 KiB: 391 MiB, of which 32 may be held."""
    monkeypatch.syspath_prepend(str(STUDY))
    import memory
    import writing

    splits = {"train": 400_000, "validation": 500, "test": 500}
    writing.write(tmp_path, splits, [32, 32, 1])
    asked = argparse.Namespace(memory=32, epochs=1.25)
    streamed = memory.train(tmp_path, "auto", asked, None)
    assert streamed.code == 0, streamed.output
    assert "streamed: train 390.6 MiB (auto: at most 32 MiB)" in streamed.output
    # Beside other work the start takes up to half of the time. In the last quarter more than a
    # third of the epoch is read, which is 130 MB.
    half, last = len(streamed.samples) // 2, len(streamed.samples) * 3 // 4
    early, late = streamed.peak(slice(half, last)), streamed.peak(slice(last, None))
    assert late < early + 60
    resident = memory.train(tmp_path, "resident", asked, None)
    assert resident.code == 0, resident.output
    assert streamed.peak(slice(None)) < resident.peak(slice(None)) - 200
    limit = streamed.data * memory.MARGIN
    assert memory.train(tmp_path, "auto", asked, limit).code == 0
    refused = memory.train(tmp_path, "resident", asked, limit)
    assert refused.code != 0
