"""Runs of a server or of another database, read through MLflow's client; see ``runs.Runs``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from mlflow.entities import Run as MlflowRun

from pipeline.config import Tracking
from pipeline.tracking.runs import PARENT_TAG, Run, stored_value
from pipeline.tracking.store import Store, _told

PAGE = 1000  # runs an answer; a server sends params, tags and metrics with each
NEWEST_FIRST = ["attributes.start_time DESC"]


class AskedRuns:
    """A store that MLflow reads for us."""

    def __init__(self, config: Tracking) -> None:
        store = Store.existing(config)
        self._client = store.client
        self._problem = f"The runs of {store.location.uri} cannot be read"
        found = self._pages(self._client.search_experiments)
        found.sort(key=lambda e: (-(e.creation_time or 0), -int(e.experiment_id)))
        self._names = {experiment.experiment_id: experiment.name for experiment in found}

    def close(self) -> None:
        """Nothing is held."""

    def experiments(self) -> list[str]:
        """The names of all experiments: that of the newest run, then the others, newest first."""
        with _told(self._problem):
            newest = self._client.search_runs([*self._names], max_results=1, order_by=NEWEST_FIRST)
        first = [self._names[run.info.experiment_id] for run in newest]
        return [*first, *(name for name in self._names.values() if name not in first)]

    def beginning(self, start: str) -> list[str]:
        """The ids of the runs that begin with ``start``, the newest first."""
        condition = f"attributes.run_id LIKE '{start}%'" if start else ""
        return [run.info.run_id for run in self._search(list(self._names), condition)]

    def read(
        self,
        *,
        experiment: str | None = None,
        parent: str | None = None,
        ids: Sequence[str] | None = None,
    ) -> list[Run]:
        """The runs that are asked for."""
        if ids is not None:
            with _told(self._problem):
                return [self._run(self._client.get_run(run_id)) for run_id in ids]
        chosen = [i for i, name in self._names.items() if experiment in (None, name)]
        condition = f"tags.`{PARENT_TAG}` = '{parent}'" if parent is not None else ""
        return [self._run(run) for run in self._search(chosen, condition)]

    def history(self, run_id: str, key: str) -> list[tuple[int, float]]:
        """Step and value of every point of one metric, by step."""
        with _told(f"The history of {key!r} cannot be read"):
            points = self._client.get_metric_history(run_id, key)
        points.sort(key=lambda point: (point.step, point.timestamp))
        return [(point.step, stored_value(point.value)) for point in points]

    def _search(self, experiments: Sequence[str], condition: str) -> list[MlflowRun]:
        if not experiments:
            return []
        return self._pages(
            partial(
                self._client.search_runs,
                experiments,
                condition,
                max_results=PAGE,
                order_by=NEWEST_FIRST,
            )
        )

    def _pages(self, search: Callable[..., Any]) -> list[Any]:
        """All that a search finds, of which an answer holds one page."""
        found: list[Any] = []
        token = None
        with _told(self._problem):
            while True:
                page = search(page_token=token)
                found += page
                if not (token := page.token):
                    return found

    def _run(self, run: MlflowRun) -> Run:
        info, data = run.info, run.data
        return Run(
            info.run_id,
            self._names[info.experiment_id],
            info.run_name or "",
            info.status,
            info.start_time,
            info.end_time,
            dict(data.params),
            dict(data.tags),
            {key: stored_value(value) for key, value in data.metrics.items()},
        )
