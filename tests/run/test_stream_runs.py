"""Runs whose data stays on disk: killed and resumed, chosen by size, with damaged examples."""

from __future__ import annotations

import random
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import killing
import pytest
from comparing import Difference, compare

from pipeline.data import stream
from pipeline.data.reader import Reader
from pipeline.training.trainer import Trainer

pytestmark = pytest.mark.slow

SHORT = (
    "+experiment=digits",
    "model.layers.hidden.units=16",
    "schedule=constant",
    "trainer.compile=off",
    "trainer.duration=40 steps",
    "trainer.evaluate_every=20 steps",
    "trainer.checkpoint_every=20 steps",
    "trainer.log_every=7 steps",
)
STREAM = "dataset.feed=stream"


@pytest.mark.parametrize(
    "moments",
    [
        ("in a checkpoint write",),
        pytest.param((*killing.ALL_MOMENTS, killing.ANY_TIME), marks=pytest.mark.exhaustive),
    ],
    ids=["one kill", "all kinds of moments"],
)
def test_killed_streamed_run_ends_bit_for_bit_as_the_resident_one(
    runner, fit, store, root: Path, moments: tuple[str, ...]
) -> None:
    streamed = (*killing.CONFIGURATIONS["streamed"], *killing.BASE)
    expected = fit(*killing.CONFIGURATIONS["dense"], *killing.BASE).run_id
    killed = killing.kill_until_finished(runner, root, streamed, moments, random.Random(7))
    assert killed.kills == list(moments)
    assert f"{killed.run_id} (goes on at step " in killed.output
    assert "streamed: train 0.1 MiB, validation 0.0 MiB, test 0.0 MiB (asked for)" in killed.output
    assert compare(store, expected, killed.run_id) == Difference()


@pytest.mark.exhaustive
def test_two_replicas_train_as_one(fit, store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "CHUNK_EXAMPLES", 5 * 64)
    one, two = (fit(*SHORT, STREAM, f"strategy.replicas={n}").run_id for n in (1, 2))
    first, second = (store.recorded(run).metrics for run in (one, two))
    for name in ("train/loss", "val/loss", "test/loss"):
        assert second[name] == pytest.approx(first[name], rel=1e-5)


def test_auto_streams_what_is_larger_than_memory_allows_and_says_so(
    fit, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of digits, train has 1,167 images of 64 bytes, the others fewer."""
    fit(*SHORT, "dataset.memory=0.05", "trainer.duration=1 step")
    (said,) = re.findall(r"^feed +(.*)$", capsys.readouterr().out, re.MULTILINE)
    assert said == (
        "resident: validation 0.0 MiB, test 0.0 MiB; streamed: train 0.1 MiB "
        "(auto: at most 0.05 MiB)"
    )


@pytest.mark.exhaustive
def test_share_of_waiting_says_whether_the_reading_or_the_model_is_slow(
    fit, store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "CHUNK_EXAMPLES", 5 * 64)  # 8 chunks

    def waiting(patched: type, method: str, seconds: float, counts: Callable[..., bool]) -> float:
        unpatched = getattr(patched, method)

        def slowly(self: Any, *given: Any, **options: Any) -> Any:
            if counts(self, *given):
                time.sleep(seconds)
            return unpatched(self, *given, **options)

        with monkeypatch.context() as patch:
            patch.setattr(patched, method, slowly)
            measured = store.recorded(fit(*SHORT, STREAM).run_id).metrics
        shares = [value for name, value in measured.items() if name.startswith("speed/share/")]
        assert sum(shares) == pytest.approx(1.0)
        return float(measured["speed/share/waiting"])

    reading = waiting(Reader, "__call__", 1.0, lambda reader, _: reader.name == "train")
    model = waiting(Trainer, "_call", 0.5, lambda _, steps, *more: steps > 0)
    assert reading > 0.5
    assert model < 0.25
    assert store.recorded(fit(*SHORT).run_id).metrics["speed/share/waiting"] == 0.0


@pytest.fixture
def damaged(tfds_folder: str, tmp_path: Path) -> Path:
    """A copy of digits with a bit flipped in the middle of the training records."""
    shutil.copytree(Path(tfds_folder) / "digits", tmp_path / "digits")
    (file,) = tmp_path.glob("digits/*/digits-train*")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0x10
    file.write_bytes(content)
    return tmp_path


@pytest.mark.parametrize("feed", ["resident", "stream"])
def test_run_tells_what_it_has_left_out(
    fit, store, damaged: Path, capsys: pytest.CaptureFixture[str], feed: str
) -> None:
    options = (f"dataset.feed={feed}", f"dataset.data_dir={damaged}", "dataset.on_error=skip")
    run = store.recorded(fit(*SHORT, *options).run_id)
    assert run.metrics["data/skipped"] == 1.0
    where = r"1 \(digits-train\.tfrecord-00000-of-00001, record 58\d: its data does not match .*\)"
    assert re.fullmatch(where, run.tags["data/skipped/train"])
    assert re.search(rf"^left out: train {where}$", capsys.readouterr().out, re.MULTILINE)
    assert run.status == "FINISHED"
