"""Experiments reach the scores that their files promise, and the baselines are what they say."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCORES = Path(__file__).parents[2] / "experiments" / "scores"


def _loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, SCORES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def baselines() -> ModuleType:
    return _loaded("baselines")


def test_logistic_regression_on_the_splits_of_digits(baselines: ModuleType) -> None:
    """Of 360 images 13 are wrong; scikit-learn's solver may put one on the other side."""
    (score,) = baselines.scores("digits")
    assert (score.metric, score.baseline) == ("accuracy", "logistic regression")
    assert score.value == pytest.approx(347 / 360, abs=1.5 / 360)


def test_logistic_regression_on_the_splits_of_breast_cancer(baselines: ModuleType) -> None:
    """It sees standardized columns: raw ones would not converge."""
    (score,) = baselines.scores("breast_cancer")
    assert score.value == pytest.approx(112 / 114, abs=1.5 / 114)


def test_forecasts_that_need_no_model(baselines: ModuleType) -> None:
    """RMSE of 1957 to 2008, worked out from the values themselves."""
    import csv

    import numpy as np

    from pipeline.data.builders import sunspots

    with Path(sunspots.__file__).with_name("sunspots.csv").open(newline="") as file:
        value = {int(row["year"]): float(row["value"]) for row in csv.DictReader(file)}
    found = {score.baseline: score.value for score in baselines.scores("sunspots")}
    for baseline, years in (("persistence: the year before", 1), ("seasonal: 11 years before", 11)):
        errors = [value[year] - value[year - years] for year in range(1957, 2009)]
        assert found[baseline] == pytest.approx(np.sqrt(np.mean(np.square(errors))), rel=1e-6)
    assert found["ridge regression on 9 years"] < found["persistence: the year before"]


@pytest.mark.exhaustive
@pytest.mark.slow
def test_breast_cancer_scores_what_its_experiment_says(fit) -> None:
    assert fit("+experiment=breast_cancer", "tracking=off").metrics["test/accuracy"] >= 0.97


@pytest.mark.slow
def test_sunspots_are_forecast_better_than_without_a_model(fit, baselines: ModuleType) -> None:
    plain = {score.baseline: score.value for score in baselines.scores("sunspots")}
    reached = fit("+experiment=sunspots", "tracking=off").metrics["test/rmse"]
    assert reached <= 21.0
    assert reached < plain["persistence: the year before"]
    assert reached < plain["seasonal: 11 years before"]


@pytest.fixture(scope="module")
def scores() -> ModuleType:
    return _loaded("scores")


def test_the_table_has_mean_and_deviation_over_seeds_and_the_baseline(scores: ModuleType) -> None:
    own = {"experiment": "sunspots", "metric": "rmse", "minutes": "0.5"}
    results = [{**own, "value": "20"}, {**own, "value": "23"}]
    plain = [{**own, "baseline": "persistence", "value": "30.516"}]
    (line,) = scores.table(results, plain).splitlines()[2:]
    assert line.startswith("| [sunspots](../../conf/experiment/sunspots.yaml) | rmse |")
    assert line.endswith("| 21.50 ± 2.12 | 2 | 0.5 | persistence 30.52 |")


def test_one_seed_has_no_deviation(scores: ModuleType) -> None:
    row = {"experiment": "fashion_cnn", "metric": "accuracy", "minutes": "9", "value": "0.92"}
    assert "| accuracy | 0.9200 | 1 | 9.0 |  |" in scores.table([row], [])


def test_the_published_table_is_that_of_the_published_runs(scores: ModuleType) -> None:
    results = scores.read(scores.RESULTS)
    text = scores.PAGE.read_text("utf-8")
    begin, end = scores.MARKERS
    assert text.partition(begin)[2].partition(end)[0] == (
        scores.table(results, scores.read(scores.BASELINES)) + "\n"
    )
    assert {row["experiment"] for row in results} <= {*scores.SHOWN}
