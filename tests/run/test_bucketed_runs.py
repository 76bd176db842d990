"""Runs with ``dataset.buckets``: killed and resumed, and what they tell of it."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import killing
import made_up
import pytest
from comparing import Difference, compare

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Of a run on made-up reviews, of 2 to 16 words each."""
    folder = tmp_path_factory.mktemp("made_up")
    made_up.prepare("imdb_reviews/plain_text", folder, {"train": 300, "test": 50})
    return (
        "dataset=imdb_reviews",
        f"dataset.data_dir={folder}",
        "dataset.preprocess.tokens.length=16",
        "dataset.buckets=[6,8]",
        "model=text_encoder",
        "model.layer.layers.embed.units=4",
        "~model.layer.layers.positions",
        "~model.layer.layers.blocks",
        "trainer.batch_size=16",
        "trainer.compile=off",  # starts sooner
        *killing.BASE,
    )


@pytest.mark.exhaustive
def test_killed_run_ends_bit_for_bit_as_one_that_was_not(
    runner: Any, fit: Callable[..., Any], store: Any, root: Path, given: tuple[str, ...]
) -> None:
    expected = fit(*given).run_id
    killed = killing.kill_until_finished(runner, root, given, killing.ALL_MOMENTS, random.Random(3))
    # What is left after these may be done before a random moment comes.
    assert killed.kills[: len(killing.MOMENTS)] == list(killing.MOMENTS)
    assert compare(store, expected, killed.run_id) == Difference()


def test_run_tells_what_is_cut(
    fit: Callable[..., Any],
    store: Any,
    root: Path,
    given: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
) -> None:
    run_id = fit(*given, "trainer.duration=5 steps").run_id
    (line,) = re.findall(r"^buckets +(.*)$", capsys.readouterr().out, re.MULTILINE)
    said = r"examples by length, 6: (\d+)%, 8: (\d+)%, 16: (\d+)%; (\d+)% of the steps .*"
    *shares, computed = map(int, re.fullmatch(said, line).groups())  # type: ignore[union-attr]
    assert sum(shares) in (99, 100, 101)
    assert 6 / 16 <= computed / 100 < 1
    assert store.recorded(run_id).tags["buckets"] == line
    (card,) = root.glob(f"artifacts/**/{run_id}/artifacts/model_card.md")
    assert f"cut to one length; {line}" in card.read_text("utf-8")


@pytest.mark.exhaustive
def test_two_replicas_train_as_one(
    fit: Callable[..., Any], store: Any, given: tuple[str, ...]
) -> None:
    one, two = (fit(*given, f"strategy.replicas={n}").run_id for n in (1, 2))
    first, second = (store.recorded(run).metrics for run in (one, two))
    for name in ("train/loss", "val/loss", "test/loss"):
        assert second[name] == pytest.approx(first[name], rel=1e-4)
