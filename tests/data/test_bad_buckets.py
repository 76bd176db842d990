"""Buckets that do not fit the data, the model or the task are refused before training."""

from __future__ import annotations

from pathlib import Path

import pytest
from things import EMPTY, WORDS, refusal, step

from pipeline import preflight_dataset

SHORT = [*WORDS, "dataset.buckets=[2]"]
ROWS = [*step("Reshape", shape="[8, 8]"), "dataset.buckets=[2]"]
FLAT = "{_target_: layers.Flatten}"

CASES: dict[str, tuple[list[str], str]] = {
    "that do not ascend": (
        ["dataset.buckets=[4,2,4]"],
        "dataset.buckets: [4, 2, 4] does not ascend; write [2, 4]",
    ),
    "of nothing": (
        ["dataset.buckets=[0,2]"],
        "dataset.buckets: [0, 2] has a length below 1; lengths of sequences are expected, such as "
        "[32, 64]",
    ),
    "in an order": (
        [*SHORT, "dataset.order=contiguous"],
        "dataset.order: contiguous, where each row goes on from batch to batch, but "
        "dataset.buckets puts examples together by length; use dataset.order=shuffled, or no "
        "buckets",
    ),
    "from disk": (
        [*SHORT, "dataset.feed=stream"],
        "dataset.feed: stream, but dataset.buckets looks at the length of every example before "
        "training; use dataset.feed=resident, or no buckets",
    ),
    "of what is too large": (
        [*SHORT, "dataset.memory=1e-6"],
        "dataset.buckets looks at the length of every example before training, but split 'train' "
        "is streamed: it takes 0.00 MiB, more than the 1e-06 of dataset.memory. Use "
        "dataset.feed=resident, a larger dataset.memory, or no buckets.",
    ),
    "beyond the sequences": (
        [*WORDS, "dataset.buckets=[2,8]"],
        "dataset.buckets: 8 is longer than the sequences, which have 4 steps, padding included. "
        "Give lengths below 4; what is longer is not cut.",
    ),
    "for which all are too long": (
        [*SHORT, "dataset.splits.train='train[3:4]'"],
        "dataset.buckets=[2]: no example of training is so short; the shortest has 4 of 4 steps. "
        "Give longer buckets, or none.",
    ),
    "of images": (
        ["dataset.buckets=[2]"],
        "dataset.buckets cuts sequences, which are whole numbers [length] or vectors [length, "
        "features], but an example of things is 8x8x1 uint8. Use no buckets.",
    ),
    "of rows of numbers": (
        [*EMPTY, "dataset.inputs=vector", "dataset.buckets=[2]"],
        "dataset.buckets cuts sequences, which are whole numbers [length] or vectors [length, "
        "features], but an example of things is 4 float32. Use no buckets.",
    ),
    "of several inputs": (
        [*EMPTY, "dataset.inputs=[price,count]", "dataset.buckets=[2]"],
        "dataset.buckets cuts one array of sequences, and dataset.inputs=['price', 'count'] gives "
        "several. Name one feature, without a list, or use no buckets.",
    ),
    "of text to write": (
        [*SHORT, "dataset.target=null", "task=language_model"],
        "dataset.buckets cuts the inputs alone, and dataset.frame=NextToken predicts something at "
        "each of their steps. Use no buckets.",
    ),
    "of what is reconstructed": (
        [*ROWS, "dataset.target=null", "task=reconstruction", "model.layers.logits.units=8"],
        "dataset.buckets cuts the inputs alone, and the task predicts something at each of their "
        "steps. Use no buckets.",
    ),
    "of steps that are gone": (
        [*ROWS, f"+dataset.preprocess.flat={FLAT}"],
        "dataset.buckets cuts sequences of 8 steps, but dataset.preprocess makes [64] of "
        "them on the device. Use no buckets.",
    ),
    "for a model of one length": (
        [*SHORT, "model=mlp"],
        "dataset.buckets: the model takes sequences of 4 steps but not of 2: hidden (Dense): was "
        "built for a last axis of 4, got [None, 2] int32. Use a model that takes any length, or "
        "no buckets.",
    ),
    "for a model that answers each step": (
        [
            *("dataset.inputs=text", *step("Tokens", vocabulary="words", length=3)),
            *("dataset.buckets=[2]", "~model.layers.hidden", "~model.layers.logits"),
        ],
        "dataset.buckets: the model gives [None, 3] for 3 steps but [None, 2] for 2, and what is "
        "predicted is one thing an example. Let a layer take all steps together (GlobalAvgPool1D, "
        "for one), or use no buckets.",
    ),
}
SLOW = {"for a model of one length", "for a model that answers each step"}  # the model is built


@pytest.mark.parametrize(
    "case",
    [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in CASES],
)
def test_refusal(case: str, things: Path) -> None:
    overrides, text = CASES[case]
    assert refusal(things, overrides) == text


def test_buckets_of_several_sets_are_refused() -> None:
    given = {"dataset.buckets": [2], "dataset.mix": {"more": {"name": "mnist", "share": 0.5}}}
    assert list(preflight_dataset.problems(given)) == [
        "dataset.mix: each batch has its share of every set, but dataset.buckets makes batches by "
        "length; leave one of the two out"
    ]
    assert list(preflight_dataset.problems(given | {"dataset.buckets": []})) == []
