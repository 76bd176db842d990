"""Batches of sequences of about one length, cut to it, train as uncut ones do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from layers import Embedding
from pipeline.assembly import Assembly, assemble
from pipeline.data.buckets import Bucketed, lengths_of
from pipeline.data.order import Order
from pipeline.train import compose
from pipeline.training.checkpoints import weights_digest

STEPS = np.random.default_rng(0).integers(0, 41, 103).astype(np.int32)  # of 103 examples
BUCKETS = [8, 16, 40]


@pytest.fixture(scope="module")
def order() -> Bucketed:
    return Bucketed(STEPS, BUCKETS, 10)


def _largest(order: Bucketed, visited: np.ndarray) -> list[int]:
    """The bucket of each batch of an epoch."""
    batches = visited[:100].reshape([10, 10])
    return [int(order.bucket(tf.constant(batch))) for batch in batches]


# The order ---------------------------------------------------------------------------------------


def test_a_length_is_where_the_last_step_is_that_is_no_padding() -> None:
    tokens = np.array([[3, 1, 0, 0], [0, 0, 2, 0], [0, 0, 0, 0], [1, 0, 0, 4]], np.int32)
    assert lengths_of(tokens).tolist() == [2, 3, 0, 4]
    assert lengths_of(np.where(tokens == 0, -1, tokens), -1).tolist() == [2, 3, 0, 4]
    vectors = np.zeros([2, 3, 2], np.float32)
    vectors[0, 1, 1] = 0.5  # a step of which one number is 0 counts
    assert lengths_of(vectors).tolist() == [2, 0]
    many = np.tile(tokens, [300, 1])  # more than are looked at at once
    assert lengths_of(many).tolist() == [2, 3, 0, 4] * 300


def test_an_epoch_has_the_examples_that_it_has_without_buckets(order: Bucketed) -> None:
    for epoch in range(3):
        visited, shuffled = order(5, epoch).numpy(), Order("shuffled", 103, 10)(5, epoch).numpy()
        assert sorted(visited[:100]) == sorted(shuffled[:100])
        assert visited[100:].tolist() == shuffled[100:].tolist()


def test_all_of_a_batch_are_of_one_bucket_but_where_one_ends(order: Bucketed) -> None:
    visited = order(5, 0).numpy()
    numbers = np.searchsorted(BUCKETS, STEPS)[visited[:100].reshape([10, 10])]
    assert sum(len(set(row)) > 1 for row in numbers.tolist()) <= len(BUCKETS) - 1
    largest = _largest(order, visited)
    assert largest == numbers.max(1).tolist()
    assert largest != sorted(largest)  # neither the short ones first nor the long ones
    assert order.computed(5) == sum(BUCKETS[number] * 10 for number in largest) < 100 * 40


def test_the_order_is_another_in_each_epoch_and_for_each_seed(order: Bucketed) -> None:
    first = order(5, 0).numpy()
    assert np.array_equal(first, order(tf.constant(5), tf.constant(0, tf.int64)).numpy())
    for seed, epoch in ((5, 1), (6, 0)):
        other = order(seed, epoch).numpy()
        assert not np.array_equal(first, other)
        # The lengths do not come in the same order, nor are the same examples together again.
        assert _largest(order, first) != _largest(order, other)
        assert {*map(frozenset, first[:100].reshape([10, 10]))}.isdisjoint(
            map(frozenset, other[:100].reshape([10, 10]))
        )


@pytest.mark.parametrize("compiled", [False, True], ids=["graph", "XLA"])
def test_the_order_is_the_same_in_graph(order: Bucketed, compiled: bool) -> None:
    traced = tf.function(order, autograph=False, jit_compile=compiled)
    for epoch in (0, 1):
        given = tf.constant(5, tf.int64), tf.constant(epoch, tf.int64)
        np.testing.assert_array_equal(traced(*given).numpy(), order(5, epoch).numpy())


def test_lengths_that_no_example_needs_are_left_out() -> None:
    order = Bucketed(np.array([3, 3, 30, 31]), [2, 8, 16, 40], 2)
    assert order.lengths == (8, 40)
    assert order.shares() == {8: 0.5, 40: 0.5}


# Training ----------------------------------------------------------------------------------------

Write = Callable[..., Path]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, write_into: Write) -> Path:
    """Of ``lines``: 1 to 40 words each."""
    random = np.random.default_rng(1)

    def lines(count: int) -> list[dict[str, Any]]:
        words = [random.choice(list("abcdef"), random.integers(1, 41)) for _ in range(count)]
        return [{"text": " ".join(line), "label": int("a" in line[:3])} for line in words]

    return write_into(
        tmp_path_factory.mktemp("buckets"),
        "lines",
        {"train": lines(150), "test": lines(40)},
        features={"text": tfds.features.Text(), "label": tfds.features.ClassLabel(num_classes=2)},
    )


COMMON = (
    "dataset=imdb_reviews",
    "dataset.name=lines",
    "dataset.splits.train=train",
    "dataset.splits.validation=test",
    "dataset.preprocess.tokens.size=20",
    "dataset.preprocess.tokens.length=40",
    "dataset.buckets=[8,16]",
    "model=text_encoder",
    "model.layer.layers.embed.units=8",
    "schedule=constant",
    "trainer.batch_size=16",
    "trainer.evaluation_batch_size=8",
    "trainer.duration=30 steps",
    "trainer.compile=off",
    "trainer.steps_per_call=50",
)
# What takes the steps together, under a mask.
MEAN = ("~model.layer.layers.positions", "~model.layer.layers.blocks")  # soon compiled
GRU = (
    *(f"~model.layer.layers.{name}" for name in ("positions", "blocks", "norm", "pool", "logits")),
    "+model.layer.layers.recurrent._target_=layers.Recurrent",
    "+model.layer.layers.recurrent.cell={_target_: layers.GRUCell, units: 8}",
    "+model.layer.layers.logits={_target_: layers.Dense, units: 2}",
)
ATTENTION = (
    "model.layer.layers.blocks.times=1",
    "model.layer.layers.blocks.layer.heads=2",
    "model.layer.layers.blocks.layer.units=8",
    "model.layer.layers.blocks.layer.dropout=0",
)


@pytest.fixture
def assembled(folder: Path) -> Callable[..., Assembly]:
    """``assembled("trainer.…=…", model=MEAN)``"""

    def make(*overrides: str, model: tuple[str, ...] = MEAN) -> Assembly:
        own = f"dataset.data_dir={folder}"
        return assemble(compose("train", [*COMMON, own, *model, *overrides]))

    return make


def _uncut(parts: Assembly) -> Assembly:
    """The same batches, with all of their padding."""
    parts.trainer.feed.order.lengths = ()
    return parts


HOW = {
    "loop": ("trainer.compile=loop",),
    "accumulated, augmented": (
        "trainer.accumulate=2",
        "+dataset.augment.hide={_target_: pipeline.data.augment.TokenDropout, rate: 0.2, token: 1}",
    ),
    "2 replicas": ("strategy.replicas=2",),
    "gradients": ("trainer.compile=gradients",),
    "gradients, 2 replicas": ("trainer.compile=gradients", "strategy.replicas=2"),
    "loop, clipped, averaged": (
        "trainer.compile=loop",
        "trainer.clip_norm=0.5",
        "trainer.average=0.9",
        "trainer.accumulate=2",
    ),
}
CASES = [
    ("loop", MEAN),
    *(pytest.param(how, MEAN, marks=pytest.mark.exhaustive) for how in [*HOW][1:]),
    *(
        pytest.param(how, model, marks=pytest.mark.exhaustive)
        for how in ("loop", "2 replicas")
        for model in (GRU, ATTENTION)
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize(("how", "model"), CASES)
def test_loss_and_gradient_of_a_batch_that_is_cut_are_those_of_the_whole(
    assembled: Callable[..., Assembly], how: str, model: tuple[str, ...]
) -> None:
    cut = assembled(*HOW[how], model=model)
    whole = _uncut(assembled(*HOW[how], model=model))
    assert cut.trainer.feed.lengths == (8, 16, 40)
    found, expected = cut.trainer.train(30).rows, whole.trainer.train(30).rows
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=1e-6)
    for name, variable in whole.model.named_variables().items():
        other = cut.model.named_variables()[name].numpy()
        np.testing.assert_allclose(other, variable.numpy(), atol=1e-4, err_msg=name)


@pytest.mark.slow
def test_the_model_sees_no_more_than_the_bucket(
    assembled: Callable[..., Assembly], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[tuple[bool, tuple[int, ...]]] = set()
    unpatched = Embedding.call

    def noted(self: Any, x: tf.Tensor, training: bool) -> tf.Tensor:
        seen.add((training, tuple(x.shape)))
        return unpatched(self, x, training)

    parts = assembled()
    monkeypatch.setattr(Embedding, "call", noted)
    parts.trainer.trace()
    assert seen == {(True, (16, 8)), (True, (16, 16)), (True, (16, 40)), (False, (8, 40))}


@pytest.mark.exhaustive
@pytest.mark.parametrize("mode", ["off", "gradients", "loop"])
def test_a_run_is_the_same_however_many_steps_a_call_takes(
    assembled: Callable[..., Assembly], mode: str
) -> None:
    """Over the ends of epochs."""
    once, often = (assembled(f"trainer.compile={mode}") for _ in range(2))
    rows = np.concatenate([often.trainer.train(n).rows for n in (1, 4, 9, 2, 14)])
    np.testing.assert_array_equal(rows, once.trainer.train(30).rows)
    first, second = (weights_digest(p.model.named_variables()) for p in (once, often))
    assert first == second


@pytest.mark.slow
def test_two_replicas_train_as_one(assembled: Callable[..., Assembly]) -> None:
    one, two = (assembled(f"strategy.replicas={n}").trainer.train(30).rows for n in (1, 2))
    np.testing.assert_allclose(two, one, rtol=2e-4, atol=1e-6)


@pytest.mark.slow
def test_a_model_that_sees_the_padding_is_warned_of(
    assembled: Callable[..., Assembly], caplog: pytest.LogCaptureFixture
) -> None:
    assembled()
    assert caplog.messages == []
    assembled("model.padding=-1")  # which no token is
    (said,) = caplog.messages
    assert said.startswith(
        "dataset.buckets: what the model answers depends on the padding behind an example: by up to"
    )
