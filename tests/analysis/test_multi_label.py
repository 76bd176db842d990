"""The table of labels, beside scikit-learn's numbers."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from pipeline.analysis import multi_label

NAMES = ["sea", "sky", "never", "always"]


def drawn() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    truth = random.integers(0, 2, (200, 4)).astype(np.uint8)
    truth[:, 2:] = [0, 1]
    scores = np.round(random.random((200, 4)) * 0.7 + 0.3 * truth, 1)  # with ties
    return truth, scores.astype(np.float32)


@pytest.mark.parametrize("threshold", [0.5, 0.8])
def test_scores_of_each_label_are_scikit_learn_s(threshold: float) -> None:
    truth, scores = drawn()
    found = multi_label.label_scores(truth, scores, NAMES, threshold)
    theirs = metrics.precision_recall_fscore_support(truth, scores > threshold, zero_division=0)
    ours = np.array([(s.precision, s.recall, s.f1, s.support) for s in found]).T
    np.testing.assert_allclose(ours, np.array(theirs), rtol=1e-12)
    areas = [metrics.roc_auc_score(truth[:, i], scores[:, i]) for i in (0, 1)]
    assert [s.auc for s in found[:2]] == pytest.approx(areas, rel=1e-12)
    assert np.isnan([s.auc for s in found[2:]]).all()
    assert [s.name for s in found] == NAMES


def test_table_has_a_row_for_each_label() -> None:
    truth, scores = drawn()
    lines = multi_label.scores_csv(multi_label.label_scores(truth, scores, [])).splitlines()
    assert lines[0] == "label,precision,recall,f1,auc,support"
    assert [line.split(",")[0] for line in lines[1:]] == ["0", "1", "2", "3"]
    assert lines[3] == "2,0.000000,0.000000,0.000000,nan,0"
