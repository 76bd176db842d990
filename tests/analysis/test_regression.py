"""Tables of what was predicted and what is so, beside scikit-learn's numbers."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from sklearn import metrics

from pipeline.analysis import regression


def drawn(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    truth = random.normal(size=shape) * [100.0, 0.1] + 5
    return truth.astype(np.float32), (truth + random.normal(size=shape)).astype(np.float32)


@pytest.mark.parametrize("shape", [(50, 2), (20, 6, 2)])
def test_scores_of_each_target_are_scikit_learn_s(shape: tuple[int, ...]) -> None:
    truth, predicted = drawn(shape)
    found = regression.target_scores(truth, predicted, ["price", "depth"])
    flat = truth.reshape(-1, 2).astype(np.float64), predicted.reshape(-1, 2).astype(np.float64)
    for score, column in {
        "mae": metrics.mean_absolute_error,
        "rmse": metrics.root_mean_squared_error,
        "r2": metrics.r2_score,
    }.items():
        expected = column(*flat, multioutput="raw_values")
        assert [getattr(s, score) for s in found] == pytest.approx(expected)
    assert [(s.name, s.mean, s.deviation) for s in found] == [
        (name, pytest.approx(flat[0][:, i].mean()), pytest.approx(flat[0][:, i].std()))
        for i, name in enumerate(("price", "depth"))
    ]


def test_r2_of_a_target_that_never_varies_is_scikit_learn_s() -> None:
    truth = np.full([4, 2], 3.0)
    predicted = truth + [0.0, 1.0]
    found = [score.r2 for score in regression.target_scores(truth, predicted)]
    assert found == [1.0, 0.0]
    assert found == metrics.r2_score(truth, predicted, multioutput="raw_values").tolist()


def test_the_worst_misses_are_counted_in_deviations_of_their_target() -> None:
    truth = np.array([[0.0, 0.0], [200.0, 0.2], [0.0, 0.0], [200.0, 0.2]])
    predicted = truth + [[0.0, 0.3], [-250.0, 0.0], [50.0, 0.0], [0.0, -0.1]]
    found = regression.misses(truth, predicted, 3, ["price", "depth"])
    assert [(m.index, m.step, m.target, m.predicted) for m in found] == [
        (0, None, "depth", pytest.approx(0.3)),
        (1, None, "price", -50.0),
        (3, None, "depth", pytest.approx(0.1)),
    ]


def test_misses_of_sequences_have_their_step() -> None:
    truth = np.zeros([2, 3, 1])
    predicted = truth.copy()
    predicted[1, 2, 0] = 7.0
    [miss] = regression.misses(truth, predicted, 1)
    assert (miss.index, miss.step, miss.target, miss.predicted) == (1, 2, "0", 7.0)
    text = regression.misses_csv([miss])
    assert text == "example,step,target,truth,predicted,error\n1,2,0,0,7,7\n"


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_windows_are_joined_so_that_each_step_comes_once(stride: int) -> None:
    long = np.arange(20.0)[:, None]
    windows = np.stack([long[at : at + 4] for at in range(0, 17, stride)])
    found = regression.series(windows, stride)[:, 0]
    assert found.tolist() == list(range(4 - stride, 4 - stride + len(windows) * stride))


def test_tables_read_back_whatever_the_names_hold() -> None:
    truth, predicted = drawn((50, 2))
    scores = regression.target_scores(truth, predicted, ["a,b", 'say "c"'])
    rows = list(csv.reader(io.StringIO(regression.scores_csv(scores))))
    assert rows[0] == ["target", "mae", "rmse", "r2", "mean", "deviation"]
    assert [row[0] for row in rows[1:]] == ["a,b", 'say "c"']
    assert [float(cell) for cell in rows[1][1:]] == pytest.approx(
        [scores[0].mae, scores[0].rmse, scores[0].r2, scores[0].mean, scores[0].deviation],
        rel=1e-5,
    )
    rows = list(
        csv.reader(io.StringIO(regression.misses_csv(regression.misses(truth, predicted, 5))))
    )
    assert rows[0] == ["example", "target", "truth", "predicted", "error"]
    assert len(rows) == 6
