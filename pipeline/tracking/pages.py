"""How MLflow's pages open for a sweep: which runs, which columns, what order, which charts.

MLflow keeps what its *Share* button makes of a page in a tag of the experiment, and opens the page
so where the address names the tag. The same is written here for each sweep. The format is MLflow's
own and not documented; ``tests/run/test_browser.py`` looks at the pages that come of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

VIEW_TAG = "mlflow.sharedViewState."  # and the id of the sweep
PARENT_TAG = "mlflow.parentRunId"
LENGTH = 5000  # characters that MLflow takes in a tag of an experiment
TRAINING = "workflowType=machine_learning"  # else its pages for language models are shown
FIRST = "trials"
# Open further down, but closed: a sweep is not compared by them.
CLOSED = ("best/val", "speed", "speed/share", "sweep/rung", "test", "train", "val")
MLFLOW_OWN = ("Model metrics", "System metrics")


def runs_of(experiment_id: str) -> str:
    """The address, below the server's, of an experiment's table."""
    return f"#/experiments/{experiment_id}/runs?{TRAINING}"


def ranked(experiment_id: str, sweep_id: str) -> str:
    """The address of the table of a sweep's trials, best first."""
    return f"{runs_of(experiment_id)}&viewStateShareKey={sweep_id}"


def charts(experiment_id: str, sweep_id: str) -> str:
    """The address of the charts of a sweep's trials."""
    return f"{ranked(experiment_id, sweep_id)}&compareRunsMode=CHART"


def side_by_side(experiment_id: str, run_ids: Sequence[str]) -> str:
    """The address of the page that compares runs."""
    runs, experiments = (quote(json.dumps(ids)) for ids in (list(run_ids), [experiment_id]))
    return f"#/compare-runs?runs={runs}&experiments={experiments}&{TRAINING}"


def view_tags(
    sweep_id: str, params: Sequence[str], objective: str, objectives: Mapping[str, str]
) -> dict[str, str]:
    """The tag by which ``ranked`` and ``charts`` open as they should.

    Args:
        params: that the sweep varies. Those that make the tag longer than MLflow takes are left
            out, the last ones first.
        objective: metric that decides, as it is evaluated: ``val/accuracy``.
        objectives: all of them as they are recorded, to max or min; the one that decides first.
    """
    shown = list(params)
    while len(text := json.dumps(_view(sweep_id, shown, objective, objectives))) > LENGTH:
        shown.pop()
    return {f"{VIEW_TAG}{sweep_id}": text}


def _view(
    sweep_id: str, params: Sequence[str], objective: str, objectives: Mapping[str, str]
) -> dict[str, Any]:
    best, mode = next(iter(objectives.items()))
    tested = [f"test/{objective.removeprefix('val/')}"] if objective.startswith("val/") else []
    metrics = list(dict.fromkeys([*objectives, *tested]))
    lines = list(dict.fromkeys([objective, *metrics]))
    sections = [_section(FIRST, True), *(_section(name, False) for name in (*CLOSED, *MLFLOW_OWN))]
    return {
        "searchFilter": f"tags.`{PARENT_TAG}` = '{sweep_id}'",
        "orderByKey": f"metrics.`{best}`",
        "orderByAsc": mode == "min",
        "selectedColumns": [f"metrics.`{m}`" for m in metrics] + [f"params.`{p}`" for p in params],
        "compareRunSections": sections,
        "isAccordionReordered": True,  # else they are put in the order of the alphabet
        "compareRunCharts": [_parallel(params, list(objectives)), *map(_line, lines)],
    }


def _section(name: str, is_open: bool) -> dict[str, Any]:
    own = {"isReordered": True, "isGenerated": True, "deleted": False}
    return {"uuid": name, "name": name, "display": is_open, **own}


def _parallel(params: Sequence[str], metrics: Sequence[str]) -> dict[str, Any]:
    return {
        **_chart("PARALLEL", "parallel"),
        "selectedParams": list(params),
        "selectedMetrics": list(metrics),
        "showAllRuns": True,
    }


def _line(metric: str) -> dict[str, Any]:
    own = {"metricKey": metric, "selectedMetricKeys": [metric], "displayName": metric}
    return {
        **_chart("LINE", metric),
        **own,
        "xAxisKey": "step",
        "useGlobalXaxisKey": True,
        "lineSmoothness": 0,  # what was measured, where MLflow's own charts smooth it
        "useGlobalLineSmoothing": False,
    }


def _chart(kind: str, name: str) -> dict[str, Any]:
    own = {"metricSectionId": FIRST, "isGenerated": kind == "LINE", "deleted": False}
    return {"type": kind, "uuid": name, **own}
