"""Metrics as sums: whatever the cut into batches, they are scikit-learn's numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.experimental.numpy as tnp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as theirs

from pipeline.training.metrics import (
    AUC,
    F1,
    R2,
    BitsPerByte,
    Mean,
    Metric,
    Perplexity,
    Ratio,
    Root,
    columns_of,
    sums_of,
    values_of,
    width_of,
)


def over_shards(metric: Metric, rows: Any, weights: np.ndarray, cuts: Sequence[int] = ()) -> float:
    """The metric of sums merged over uneven shards, on the host; in graph it must be the same."""
    shards = zip(
        np.split(np.asarray(rows), cuts), np.split(weights.astype(np.float32), cuts), strict=True
    )
    parts = [metric.sums(tf.constant(r), tf.constant(w), tf.float64) for r, w in shards]
    sums, count = np.sum([p.numpy() for p in parts], 0), np.float64(weights.sum())
    assert sums.shape == (metric.width,)
    assert sums.dtype == np.float64
    found = metric.value(sums, count, np)
    in_graph = tf.function(lambda s, c: metric.value(s, c, tnp), autograph=False)
    np.testing.assert_allclose(in_graph(tf.constant(sums), tf.constant(count)), found, rtol=1e-12)
    return float(found)


CUTS = ((), (1,), (0, 7, 7, 30))  # one shard; an uneven one; empty ones among uneven ones


WEIGHTS = np.random.default_rng(1).integers(0, 4, 50) / 2  # exact in float32, some of them 0


@pytest.mark.parametrize("cuts", CUTS)
def test_mean_and_root_are_those_of_scikit_learn(cuts: tuple[int, ...]) -> None:
    random = np.random.default_rng(2)
    truth, predicted = random.normal(size=(2, 50, 3)).astype(np.float32)
    error = predicted - truth
    mae = over_shards(Mean(), np.abs(error).mean(1), WEIGHTS, cuts)
    assert mae == pytest.approx(theirs.mean_absolute_error(truth, predicted, sample_weight=WEIGHTS))
    rmse = over_shards(Root(3), error**2, WEIGHTS, cuts)
    expected = theirs.root_mean_squared_error(truth, predicted, sample_weight=WEIGHTS)
    assert rmse == pytest.approx(expected, rel=1e-6)
    assert rmse != pytest.approx(np.sqrt((WEIGHTS[:, None] * error**2).sum() / WEIGHTS.sum() / 3))


@pytest.mark.parametrize("cuts", CUTS)
def test_r2_is_that_of_scikit_learn_however_far_from_zero_the_targets_are(
    cuts: tuple[int, ...],
) -> None:
    random = np.random.default_rng(3)
    truth = (random.normal(size=(50, 2)) * [1.0, 20.0] + [0.0, 2000.0]).astype(np.float32)
    predicted = truth + random.normal(size=(50, 2)).astype(np.float32)
    metric = R2(2)
    found = over_shards(metric, metric.rows(tf.constant(truth), predicted), WEIGHTS, cuts)
    expected = theirs.r2_score(
        truth.astype(np.float64), predicted.astype(np.float64), sample_weight=WEIGHTS
    )
    assert found == pytest.approx(expected, rel=1e-7)


def test_r2_of_a_target_that_never_varies_is_as_in_scikit_learn() -> None:
    metric, truth = R2(), np.full([5, 1], 0.1, np.float32)
    for predicted in (truth, truth + 1):
        rows = metric.rows(tf.constant(truth), tf.constant(predicted))
        assert over_shards(metric, rows, np.ones(5)) == theirs.r2_score(truth, predicted)


def test_r2_takes_the_steps_of_sequences_for_observations() -> None:
    random = np.random.default_rng(4)
    truth, predicted = random.normal(size=(2, 6, 5, 2)).astype(np.float32)
    metric = R2(2)
    found = over_shards(metric, metric.rows(truth, predicted), np.ones(6), (4,))
    expected = theirs.r2_score(truth.reshape(-1, 2), predicted.reshape(-1, 2))
    assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("cuts", CUTS)
@pytest.mark.parametrize("average", ["macro", "micro", "binary"])
def test_f1_is_that_of_scikit_learn(average: Any, cuts: tuple[int, ...]) -> None:
    classes = 2 if average == "binary" else 4
    random = np.random.default_rng(5)
    truth, predicted = random.integers(0, max(2, classes - 1), (2, 50))  # class 3 never occurs
    metric, hot = F1(classes, average), np.eye(classes)
    found = over_shards(metric, metric.rows(hot[truth], hot[predicted]), WEIGHTS, cuts)
    expected = theirs.f1_score(
        truth,
        predicted,
        average=average,
        sample_weight=WEIGHTS,
        labels=range(classes) if classes > 2 else None,
        zero_division=0,
    )
    assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("average", ["macro", "micro"])
def test_f1_of_several_labels_an_example_is_that_of_scikit_learn(average: Any) -> None:
    truth, predicted = np.random.default_rng(6).integers(0, 2, (2, 50, 5))
    metric = F1(5, average)
    found = over_shards(metric, metric.rows(truth, predicted), np.ones(50), (11,))
    assert found == pytest.approx(theirs.f1_score(truth, predicted, average=average))


@pytest.mark.parametrize("cuts", CUTS)
def test_auc_of_rounded_scores_is_exact_with_ties_and_weights(cuts: tuple[int, ...]) -> None:
    """Scores that lie in bins of their own lose nothing."""
    random = np.random.default_rng(7)
    logits = random.integers(-5, 6, (50, 1)).astype(np.float32)  # ties
    truth = random.integers(0, 2, (50, 1))
    found = over_shards(AUC(), AUC().rows(truth, logits), WEIGHTS, cuts)
    expected = theirs.roc_auc_score(truth, logits, sample_weight=WEIGHTS)
    assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("spread", "tolerance"), [(3.0, 5e-6), (0.01, 2e-4), (60.0, 1e-5)])
def test_auc_is_near_that_of_scikit_learn_and_within_its_bound(
    spread: float, tolerance: float
) -> None:
    """For ordinary logits; for those of a model that has learnt nothing; for very sure ones."""
    random = np.random.default_rng(8)
    truth = random.integers(0, 2, (5000, 3))
    logits = (spread * (random.normal(size=(5000, 3)) + truth)).astype(np.float32)
    metric = AUC(3)
    rows = tf.constant(metric.rows(truth, logits))
    found = over_shards(metric, rows, np.ones(5000), (1777,))
    expected = theirs.roc_auc_score(truth, logits, average="macro")
    bound = metric.bound(metric.sums(rows, None, tf.float64).numpy(), np)
    assert abs(found - expected) <= min(bound, tolerance)
    assert bound < 30 * tolerance


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(
            st.floats(-200, 200, width=32), st.booleans(), st.sampled_from([0.0, 0.5, 1.0, 3.0])
        ),
        min_size=2,
        max_size=40,
    )
)
def test_auc_of_anything_is_within_its_bound(examples: list[tuple[float, bool, float]]) -> None:
    logits, truth, weights = (np.array(column) for column in zip(*examples, strict=True))
    metric = AUC()
    rows = metric.rows(truth[:, None], logits[:, None])
    sums = metric.sums(rows, tf.constant(weights), tf.float64).numpy()
    found = metric.value(sums, weights.sum(), np)
    kept = weights > 0
    if len({*truth[kept]}) < 2:
        assert np.isnan(found)
        return
    expected = theirs.roc_auc_score(truth[kept], logits[kept], sample_weight=weights[kept])
    assert abs(found - expected) <= metric.bound(sums, np) + 1e-12


def test_auc_is_the_mean_over_the_classes_that_can_have_one() -> None:
    truth = np.array([[1, 0], [0, 0], [1, 0]])
    logits = np.array([[2.0, 1.0], [3.0, 1.0], [4.0, 1.0]], np.float32)
    metric = AUC(2)
    assert over_shards(metric, metric.rows(truth, logits), np.ones(3)) == 0.5
    assert np.isnan(over_shards(AUC(), AUC().rows(truth[:, 1:], logits[:, 1:]), np.ones(3)))


def test_auc_survives_logits_that_are_no_numbers() -> None:
    truth = np.array([[1], [0], [0], [0]])
    logits = np.array([[np.inf], [-np.inf], [np.nan], [3e38]], np.float32)
    found = over_shards(AUC(), AUC().rows(truth, logits), np.ones(4))
    assert found == pytest.approx((1 + 1 + 0.5) / 3)  # what is NaN comes last


def test_auc_of_many_classes_takes_bounded_memory() -> None:
    assert AUC(10).width == 2 * 10 * 26214
    assert AUC(1000).width == 2 * 1000 * 1024


@pytest.mark.parametrize("cuts", CUTS)
def test_means_over_tokens_weigh_each_token_alike(cuts: tuple[int, ...]) -> None:
    random = np.random.default_rng(9)
    tokens = random.integers(1, 9, 50)
    nats = [random.exponential(size=n) for n in tokens]
    rows = np.array([(each.sum(), len(each)) for each in nats])
    expected = np.average(np.concatenate(nats), weights=np.repeat(WEIGHTS, tokens))
    assert over_shards(Ratio(), rows, WEIGHTS, cuts) == pytest.approx(expected)
    assert over_shards(Perplexity(), rows, WEIGHTS, cuts) == pytest.approx(np.exp(expected))
    bits = expected / np.log(2)
    assert over_shards(BitsPerByte(), rows, WEIGHTS, cuts) == pytest.approx(bits)


def test_perplexity_stays_finite() -> None:
    assert over_shards(Perplexity(), [[1e6, 1.0]], np.ones(1)) == pytest.approx(np.exp(700.0))


@pytest.mark.parametrize(
    "metric",
    [Mean(), Root(2), Ratio(), Perplexity(), R2(2), AUC()],
    ids=lambda metric: type(metric).__name__,
)
def test_of_nothing_at_all_there_is_no_number(metric: Metric) -> None:
    with np.errstate(all="raise"):
        assert np.isnan(metric.value(np.zeros(metric.width), np.float64(0), np))


def test_f1_of_nothing_at_all_is_0_as_in_scikit_learn() -> None:
    assert F1(3).value(np.zeros(9), np.float64(0), np) == 0


def test_sums_of_several_metrics_lie_one_after_the_other() -> None:
    metrics: dict[str, Metric] = {"loss": Mean(), "perplexity": Perplexity(), "error": Root(2)}
    measured = {
        "perplexity": tf.constant([[0.0, 2.0], [6.0, 4.0]]),
        "loss": tf.constant([1.0, 5.0]),
        "error": tf.constant([[4.0, 16.0], [0.0, 0.0]]),
    }
    sums = sums_of(metrics, measured, tf.constant([1.0, 3.0]), tf.float32)
    assert sums.dtype == tf.float32
    assert sums.numpy().tolist() == [16.0, 18.0, 14.0, 4.0, 16.0]
    assert len(sums) == width_of(metrics)
    assert columns_of(metrics) == [
        "loss",
        *(f"{n}[{i}]" for n in ("perplexity", "error") for i in (0, 1)),
    ]
    values = values_of(metrics, sums.numpy().astype(np.float64), 4.0, np)
    assert values == pytest.approx([4.0, np.exp(18 / 14), (1.0 + 2.0) / 2])
    unweighted = sums_of(metrics, measured, None, tf.float32)
    assert unweighted.numpy().tolist() == [6.0, 6.0, 6.0, 4.0, 16.0]
