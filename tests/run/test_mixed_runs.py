"""Runs on several sets: killed and resumed, on disk and in memory, and what they say of them."""

from __future__ import annotations

import random
import re
from pathlib import Path

import killing
import pytest
from comparing import Difference, compare

from pipeline.data import stream
from pipeline.resuming import read_config

pytestmark = pytest.mark.slow

MIX = (
    "+experiment=digits",
    "dataset.splits.train='train[:300]'",
    "+dataset.mix.rest.name=digits",
    "+dataset.mix.rest.split='train[300:]'",
    "+dataset.mix.rest.share=0.4",
    "model.layers.hidden.units=16",
)
STREAM = "dataset.feed=stream"
SHORT = ("trainer.duration=20 steps", "trainer.compile=off", "schedule=constant")


@pytest.mark.exhaustive
def test_killed_streamed_run_ends_bit_for_bit_as_the_resident_one(
    runner, fit, store, root: Path
) -> None:
    given = (*MIX, *killing.BASE, "trainer.duration=200 steps")
    expected = fit(*given).run_id
    streamed = (*given, STREAM)
    killed = killing.kill_until_finished(
        runner, root, streamed, killing.ALL_MOMENTS, random.Random(7)
    )
    # What is left after these may be done before a random moment comes.
    assert killed.kills[: len(killing.MOMENTS)] == list(killing.MOMENTS)
    assert f"{killed.run_id} (goes on at step " in killed.output
    assert compare(store, expected, killed.run_id) == Difference()


@pytest.mark.exhaustive
@pytest.mark.parametrize("feed", ["resident", "stream"])
def test_two_replicas_train_as_one(fit, store, monkeypatch: pytest.MonkeyPatch, feed: str) -> None:
    monkeypatch.setattr(stream, "CHUNK_EXAMPLES", 5 * 64)
    given = (*MIX, *SHORT, f"dataset.feed={feed}")
    one, two = (fit(*given, f"strategy.replicas={n}").run_id for n in (1, 2))
    first, second = (store.recorded(run).metrics for run in (one, two))
    for name in ("train/loss", "val/loss", "test/loss"):
        assert second[name] == pytest.approx(first[name], rel=1e-5)


def test_run_tells_what_it_is_mixed_of(fit, store, capsys: pytest.CaptureFixture[str]) -> None:
    run_id = fit(*MIX, *SHORT).run_id
    printed = capsys.readouterr().out
    (told,) = re.findall(r"^mix +(.*)$", printed, re.MULTILINE)
    assert told == (
        "own 60.0%, 300 an epoch of the 300 in digits/1.0.0 train[:300]; "
        "rest 40.0%, 200 an epoch of the 867 in digits/1.0.0 train[300:]"
    )
    assert "20 steps of 64 examples, 2.85714 epochs of 7 steps" in printed  # 500 an epoch
    inputs = store.client.get_run(run_id).inputs.dataset_inputs
    logged = {i.tags[0].value: (i.dataset.name, i.dataset.source) for i in inputs}
    assert [*sorted(logged)] == ["test", "training", "training/rest", "validation"]
    assert all(name == "digits" for name, _ in logged.values())
    for context, split, examples in (
        ("training", "train[:300]", 300),
        ("training/rest", "train[300:]", 867),
    ):
        assert f'"split": "{split}"' in logged[context][1]
        assert f'"examples": "{examples}"' in logged[context][1]
    tags = store.recorded(run_id).tags
    card = store.text(run_id, "model_card.md")
    assert "| train | `train[:300]` | 300 |" in card
    assert (
        f"| train | `digits/1.0.0 train[300:]` | 867 | `{tags['digest/training/rest']}` |" in card
    )
    assert tags["digest/training"] not in card  # it is of both together
    assert "| `dataset.mix.rest.share` | `0.4` |" in card
    assert read_config(store, run_id).dataset.mix.rest.share == 0.4
