"""Text that a language model writes while it is trained, and that it costs the training nothing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from comparing import Difference, compare

pytestmark = pytest.mark.slow  # whole runs

WORDS = (
    *("dataset=text_file", "dataset.options.files=[numbers.txt]", "dataset.frame.length=16"),
    *("task=language_model", "model=language_model", "model.layers.blocks.times=1"),
    *("model.layers.embed.units=8", "model.layers.blocks.layer.units=8"),
    *("model.layers.blocks.layer.heads=2", "trainer.average=0.9", "trainer.compile=off"),
    *("trainer.duration=60 steps", "trainer.evaluate_every=20 steps"),
)


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """A small language model of the numbers, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    Path("numbers.txt").write_text("\n".join(f"{i} and then" for i in range(2000)))
    return (*WORDS, f"dataset.data_dir={tmp_path / 'tfds'}")


def samples(store: Any, run_id: str) -> list[str]:
    return sorted(file.path for file in store.client.list_artifacts(run_id, "samples"))


@pytest.mark.exhaustive
def test_samples_change_nothing_that_is_trained(
    words: tuple[str, ...],
    fit: Any,
    store: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from pipeline import sampling

    with monkeypatch.context() as patch:
        patch.setattr(sampling, "sampler", lambda *parts: None)
        without = fit(*words).run_id
    assert samples(store, without) == []
    monkeypatch.setattr(sampling, "LEAST", 0.0)
    monkeypatch.setattr(sampling, "SHARE", 1e9)  # as many as there are evaluations
    capsys.readouterr()
    run_id = fit(*words).run_id
    steps = [20, 40, 60]
    assert samples(store, run_id) == [f"samples/step-{step}.txt" for step in steps]
    texts = [store.text(run_id, f"samples/step-{step}.txt") for step in steps]
    assert len(set(texts)) == 3
    begun = {text.partition("]")[0] for text in texts}
    assert len(begun) == 1  # of one example of the validation split
    assert begun.pop()[1:] in Path("numbers.txt").read_text()
    assert all(len(text) == 1 + 16 + 1 + 100 + 1 for text in texts)
    said = re.findall(r"^step (\d+) writes: (\[.+)$", capsys.readouterr().out, re.MULTILINE)
    assert [int(step) for step, _ in said] == steps
    assert said[0][1] == " ".join(texts[0].split())[:80]
    assert compare(store, without, run_id) == Difference()
    digests = [
        {k: v for k, v in store.recorded(i).tags.items() if k.startswith("sha256/")}
        for i in (without, run_id)
    ]
    assert digests[0] == digests[1]
    assert len(digests[0]) == 2


def test_a_twentieth_of_the_time_at_most_goes_into_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from pipeline import sampling

    class Clock:
        now = 100.0

        def monotonic(self) -> float:
            return self.now

    class Writes:
        def __init__(self, *args: Any, **kwargs: Any) -> None: ...

        def __call__(self, step: int) -> str:
            clock.now += 2.0
            return "text"

    class Nothing:
        def text(self, text: str, path: str) -> None: ...
        def said(self, text: str) -> None: ...

    clock = Clock()
    monkeypatch.setattr(sampling, "time", clock)
    monkeypatch.setattr(sampling, "Writer", Writes)
    found: Any = sampling.Sampler(None, Nothing(), Nothing())  # type: ignore[arg-type]
    assert found.due
    found.take(10)
    clock.now = 139.9
    assert not found.due
    clock.now = 140.0
    assert found.due
