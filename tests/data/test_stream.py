"""What trains and evaluates from disk comes out, to the bit, as what is held in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import hydra.utils
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from pipeline import prepare
from pipeline.assembly import Assembly, assemble
from pipeline.data import source as sources
from pipeline.data import stream
from pipeline.data.feed import ResidentFeed
from pipeline.data.mixed import mixed
from pipeline.data.order import Order
from pipeline.data.prepared import Prepared
from pipeline.data.preprocess import Preprocessing
from pipeline.data.stream import StreamFeed
from pipeline.train import compose
from pipeline.training.checkpoints import weights_digest

pytestmark = pytest.mark.slow

Folder = Callable[..., Path]

SIZES = {"train": 150, "validation": 37, "test": 41}  # 9 batches of 16, and uneven ends
COMMON = (
    "dataset=tfds",
    "dataset.splits.train=train",
    "dataset.splits.validation=validation",
    "schedule=constant",
    "trainer.batch_size=16",
    "trainer.evaluation_batch_size=8",
    "trainer.duration=30 steps",
    "trainer.compile=off",
    "trainer.steps_per_call=50",
)
CALLS = (1, 4, 9, 2, 14)  # 30 steps, over two ends of epochs


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, write_into: Folder) -> Path:
    """Of ``pictures`` and ``more`` of them, ``table`` with a weight, ``sentences``."""
    folder, random = tmp_path_factory.mktemp("stream"), np.random.default_rng(0)

    def splits(example: Callable[[int], dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
        return {split: [example(i) for i in range(count)] for split, count in SIZES.items()}

    pictures = {
        "image": tfds.features.Image(shape=(8, 8, 1)),
        "label": tfds.features.ClassLabel(num_classes=4),
    }
    write_into(
        folder,
        "pictures",
        splits(lambda i: {"image": random.integers(0, 256, [8, 8, 1], "u1"), "label": i % 4}),
        features=pictures,
    )
    write_into(
        folder,
        "more",
        {"train": [{"image": np.full([8, 8, 1], 9 * i, "u1"), "label": i % 4} for i in range(20)]},
        features=pictures,
    )
    table = {
        "height": np.float32,
        "colour": tfds.features.ClassLabel(names=["red", "green", "blue"]),
        "price": np.float32,
        "count": np.float32,
    }
    write_into(
        folder,
        "table",
        splits(
            lambda i: {
                "height": np.float32(random.normal(3, 2)),
                "colour": i % 3,
                "price": np.float32(random.normal()),
                "count": np.float32(i % 5),
            }
        ),
        features=table,
    )
    write_into(
        folder,
        "sentences",
        splits(lambda i: {"text": " ".join(random.choice(list("abcdef"), 9)), "label": i % 2}),
        features={
            "text": tfds.features.Text(),
            "label": tfds.features.ClassLabel(num_classes=2),
        },
    )
    return folder


CASES = {
    "pictures": ("dataset.name=pictures", "model.layers.hidden.units=8"),
    "mixed": (
        "dataset.name=pictures",
        "model.layers.hidden.units=8",
        "+dataset.mix.more.name=more",
        "+dataset.mix.more.share=0.3",
    ),
    "table": (
        "dataset.name=table",
        "dataset.inputs=[height,colour]",
        "dataset.target=price",
        "task=regression",
        "~dataset.preprocess.scale",
        "+dataset.preprocess.columns._target_=pipeline.data.preprocess.Columns",
        "+dataset.preprocess.columns.numbers=[height]",
        "+dataset.preprocess.columns.categories=[colour]",
        "+dataset.preprocess.standardize._target_=pipeline.data.preprocess.Standardize",
    ),
    "weights": (
        "dataset.name=table",
        "dataset.inputs=height",
        "dataset.target=colour",
        "dataset.weight=count",
        "~dataset.preprocess.scale",
    ),
    "text": (
        "dataset.name=sentences",
        "dataset.inputs=text",
        "model=text_encoder",
        "model.layer.layers.embed.units=8",
        "model.layer.layers.blocks.times=1",
        "model.layer.layers.blocks.layer.heads=2",
        "model.layer.layers.blocks.layer.units=8",
        "~dataset.preprocess.scale",
        "+dataset.preprocess.tokens._target_=pipeline.data.preprocess.Tokens",
        "+dataset.preprocess.tokens.vocabulary=words",
        "+dataset.preprocess.tokens.size=20",
        "+dataset.preprocess.tokens.length=8",
    ),
}


@pytest.fixture
def assembled(folder: Path) -> Iterable[Callable[..., Assembly]]:
    """``assembled("pictures", "stream", "trainer.…=…")``"""
    made: list[Assembly] = []

    def make(case: str, feed: str, *overrides: str) -> Assembly:
        given = [*COMMON, *CASES[case], f"dataset.data_dir={folder}", f"dataset.feed={feed}"]
        made.append(assemble(compose("train", [*given, *overrides])))
        return made[-1]

    yield make
    for parts in made:
        parts.trainer.close()


def _train(parts: Assembly, calls: Iterable[int] = CALLS) -> np.ndarray:
    """The rows of all steps; a call goes no further than the feed lets it."""
    rows = []
    for steps in calls:
        end = parts.trainer.current_step + steps
        while (left := end - parts.trainer.current_step) > 0:
            most = parts.trainer.most_from(parts.trainer.current_step)
            rows.append(parts.trainer.train(min(left, most)).rows)
    return np.concatenate(rows)


def _digest(parts: Assembly) -> str:
    return weights_digest(parts.model.named_variables())


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 4 batches of training, 8 of evaluation: neither divides an epoch."""
    monkeypatch.setattr(stream, "CHUNK_EXAMPLES", 4 * 16)


@pytest.mark.parametrize(
    "case", ["pictures", *(pytest.param(c, marks=pytest.mark.exhaustive) for c in [*CASES][1:])]
)
@pytest.mark.parametrize(
    "how",
    [
        ("trainer.accumulate=2", "strategy.replicas=2"),
        pytest.param((), marks=pytest.mark.exhaustive),
        pytest.param(("trainer.compile=loop",), marks=pytest.mark.exhaustive),
        pytest.param(("dataset.order=contiguous",), marks=pytest.mark.exhaustive),
    ],
    ids=lambda how: " ".join(how) or "plain",
)
def test_streamed_training_and_evaluation_are_to_the_bit_the_resident_ones(
    assembled, small_chunks, case: str, how: tuple[str, ...]
) -> None:
    resident, streamed = (assembled(case, feed, *how) for feed in ("resident", "stream"))
    assert isinstance(streamed.trainer.feed, StreamFeed)
    assert streamed.trainer.feed.steps == 4
    np.testing.assert_array_equal(_train(streamed), _train(resident, [30]))
    assert _digest(streamed) == _digest(resident)
    splits = ("train", "val", "test")
    assert [streamed.evaluate(s) for s in splits] == [resident.evaluate(s) for s in splits]


# The feed by itself ------------------------------------------------------------------------------


class Kept(NamedTuple):
    """A split, as each feed has it."""

    resident: ResidentFeed
    streamed: StreamFeed


@pytest.fixture
def feeds(folder: Path, strategy_of: Any, small_chunks: None) -> Iterator[Callable[..., Kept]]:
    """``feeds("pictures", role="train", replicas=1, batch=16, order="shuffled")``"""
    made: list[StreamFeed] = []

    def make(
        case: str,
        role: str = "train",
        replicas: int = 1,
        batch: int = 16,
        order: str = "shuffled",
        most: int = 50,
    ) -> Kept:
        given = [*COMMON[:3], *(o for o in CASES[case] if "dataset" in o)]
        config = prepare.configured([*given, f"dataset.data_dir={folder}", "dataset.feed=stream"])
        steps = Preprocessing(hydra.utils.instantiate(config.preprocess))
        needs = "numbers" if config.target == "price" else "class"
        strategy = strategy_of(replicas)
        streamed, resident = (
            Prepared(mixed(sources.load(replace(config, feed=feed), needs), needs), steps)
            for feed in ("stream", "resident")
        )
        reader, examples = streamed.reader(role), resident.examples(role)
        visits = Order(order, len(examples), batch)
        made.append(StreamFeed(strategy, role, reader, batch, most, visits))
        held = ResidentFeed(strategy, role, examples, batch, visits)
        return Kept(held, made[-1])

    yield make
    for feed in made:
        feed.close()


def _on(replica: int, data: Any, indices: Any) -> list[np.ndarray]:
    """What a replica gathers of what it holds."""
    return [
        tf.gather(getattr(held, "values", (held,))[replica], indices).numpy()
        for held in tf.nest.flatten(data)
    ]


@pytest.mark.parametrize("order", ["shuffled", "contiguous"])
@pytest.mark.parametrize("replicas", [1, 2])
def test_each_step_has_the_examples_of_the_resident_feed(feeds, replicas: int, order: str) -> None:
    resident, streamed = feeds("pictures", replicas=replicas, order=order)
    assert (streamed.steps, streamed.steps_per_epoch) == (4, 9)
    for step in (0, 1, 3, 4, 8, 9, 10, 35, 2):  # over ends of chunks and epochs, and back
        chunk = streamed.chunk(step, seed=3)
        epoch, position = divmod(step, 9)
        order_of_epoch = resident.order(3, epoch)
        for replica in range(replicas):
            at = resident.training_indices(order_of_epoch, step, position, replica)
            here = streamed.training_indices(chunk.first, step, position, replica)
            for one, other in zip(
                _on(replica, resident.data, at), _on(replica, chunk.data, here), strict=True
            ):
                np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("case", CASES)
def test_what_is_preprocessed_in_parts_is_what_is_preprocessed_at_once(feeds, case: str) -> None:
    resident, streamed = feeds(case)
    order = resident.order(0, 0)
    for step in (0, 5):
        chunk = streamed.chunk(step, seed=0)
        there = _on(0, resident.data, resident.training_indices(order, step, step, 0))
        here = _on(0, chunk.data, streamed.training_indices(chunk.first, step, step, 0))
        for one, other in zip(there, here, strict=True):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("replicas", "batch"), [(1, 16), (2, 8)])
def test_evaluation_meets_each_example_once_in_stored_order(
    feeds, replicas: int, batch: int
) -> None:
    resident, streamed = feeds("pictures", "validation", replicas=replicas, batch=batch, most=2)
    assert streamed.steps == 2  # 37 examples: the last chunk is not full, nor is the last batch
    images, stored = [], resident.data["inputs"]
    for chunk in streamed.in_stored_order():
        for position in range(chunk.first, min(chunk.first + 2, streamed.evaluation_steps)):
            for replica in range(replicas):
                at, mask = streamed.evaluation_indices(position, replica, chunk.first)
                (image, _) = _on(replica, chunk.data, at)
                images.append(image[mask.numpy() > 0])
    expected = getattr(stored, "values", (stored,))[0].numpy()
    np.testing.assert_array_equal(np.concatenate(images), expected)


def test_the_next_chunks_are_read_while_one_is_trained_on(feeds) -> None:
    """A read that waits for the one before it to be asked for would never come to an end."""
    streamed, read = feeds("pictures").streamed, []
    done = threading.Event()

    def noted(indices: np.ndarray, reader: Any = streamed.reader) -> Any:
        read.append(len(indices))
        if len(read) == 1 + stream.AHEAD:
            done.set()
        return reader(indices)

    streamed.reader = noted  # type: ignore[assignment]
    streamed.chunk(0, seed=0)
    assert done.wait(60)
    assert read == [64, 64, 64]
    streamed.chunk(1, seed=0)  # the same one
    assert len(read) == 3


@pytest.mark.parametrize(
    ("case", "batch", "limits", "steps"),
    [
        ("pictures", 16, {}, 9),  # not more than about an epoch
        ("pictures", 4, {"CHUNK_EXAMPLES": 20}, 5),
        ("pictures", 4, {"CHUNK_BYTES": 4 * 2 * (64 + 4)}, 2),
        ("pictures", 16, {"CHUNK_BYTES": 1}, 1),
    ],
)
def test_a_chunk_is_as_large_as_its_bounds_allow(
    feeds,
    monkeypatch: pytest.MonkeyPatch,
    case: str,
    batch: int,
    limits: dict[str, int],
    steps: int,
) -> None:
    for name, value in ({"CHUNK_EXAMPLES": 1 << 14} | limits).items():
        monkeypatch.setattr(stream, name, value)
    assert feeds(case, batch=batch, most=9).streamed.steps == steps
