"""What is asked of MLflow about runs, in our words. ``models.py`` does the same for its models.

Everything goes through an ``MlflowClient`` with an explicit address and explicit run ids, so that
neither MLflow's global "active run" nor ``MLFLOW_RUN_ID`` or ``MLFLOW_TRACKING_URI`` in the
environment has a say, and the runs of a sweep in one process stay apart.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from pipeline.config import Tracking
from pipeline.errors import StoreError, did_you_mean, nearest
from pipeline.tracking import moved
from pipeline.tracking.life import PROCESS_TAG, tag
from pipeline.tracking.location import Location, knock, locate, locked, prepare, require
from pipeline.tracking.names import SHORTEST_PREFIX
from pipeline.tracking.quiet import silence

PARAM_LENGTH = 6000  # characters; MLflow cuts a longer value with only a warning
TAG_LENGTH = 8000
PAGE = 1000  # runs that one answer to a search holds
DIGEST_LENGTH = 32  # MLflow takes 36 characters; the whole digest goes into a tag


@dataclass(frozen=True)
class Point:
    """One value of one metric. ``time`` is in milliseconds since 1970."""

    key: str
    value: float
    step: int
    time: int


@dataclass(frozen=True)
class RecordedRun:
    """What MLflow holds of a run; ``metrics`` are the last values."""

    run_id: str
    experiment: str
    experiment_id: str
    name: str
    status: str
    params: dict[str, str]
    tags: dict[str, str]
    metrics: dict[str, float]
    artifact_uri: str


class Store:
    """One MLflow tracking store. Safe to use from several threads."""

    def __init__(self, location: Location, client: MlflowClient) -> None:
        self.location = location
        self.client = client

    @classmethod
    def existing(cls, config: Tracking) -> Store:
        """A store that is there, which is looked at as it is: nothing is made, tried or written.

        Raises:
            StoreError: there is none, or it cannot be read.
        """
        silence()
        location = locate(config)
        if location.database is not None and not location.database.exists():
            raise StoreError(
                f"There is no store at {location.database} yet. Train first, or name its folder: "
                "tracking.root=…"
            )
        if location.uri.startswith("http"):
            knock(location.uri)
        with _told(f"The tracking store {location.uri} cannot be used"):
            return cls(location, MlflowClient(tracking_uri=location.uri))

    @classmethod
    def open(cls, config: Tracking, existing: bool = False) -> Store:
        """Open the store that ``config`` names; make the local one if it is not there.

        Args:
            existing: do not make one, since a run in it is meant.

        Raises:
            StoreError: it cannot be reached, read or written, or is not there.
        """
        silence()
        location = locate(config)
        if existing:
            require(location)
        prepare(location)
        with _told(f"The tracking store {location.uri} cannot be used"):
            store = cls(location, MlflowClient(tracking_uri=location.uri))
            store.client.get_experiment_by_name(config.experiment)
        return store

    # Runs

    def experiment(self, name: str) -> str:
        """The id of the experiment called ``name``, created once however many processes ask."""
        found = self.client.get_experiment_by_name(name)
        if found is None:
            with locked(self.location):
                found = self.client.get_experiment_by_name(name)
                if found is None:
                    try:
                        return self.client.create_experiment(name, self.location.artifacts)
                    except MlflowException:  # made meanwhile from another machine
                        found = self.client.get_experiment_by_name(name)
                        if found is None:
                            raise
        if found.lifecycle_stage != "active":
            raise StoreError(
                f"The experiment {name!r} was deleted. Bring it back with `mlflow experiments "
                f"restore -x {found.experiment_id}` (MLFLOW_TRACKING_URI={self.location.uri}), "
                "or choose another name: tracking.experiment=…"
            )
        moved.refuse(self.location, found.artifact_location)
        return found.experiment_id

    def create_run(self, experiment: str, run_name: str | None, tags: Mapping[str, str]) -> str:
        """Begin a run and return its id.

        Raises:
            StoreError: the store refuses, or the experiment was deleted.
        """
        with _told(f"No run can be created in {self.location.uri}"):
            own = {"mlflow.user": _user(), "mlflow.source.type": "LOCAL", PROCESS_TAG: tag()}
            texts = {key: str(value)[:TAG_LENGTH] for key, value in {**own, **tags}.items()}
            run = self.client.create_run(self.experiment(experiment), None, texts, run_name)
        return run.info.run_id

    def set_status(self, run_id: str, status: str, time: int | None = None) -> None:
        """Set RUNNING, FINISHED, FAILED or KILLED; the last three end the run at ``time`` (ms)."""
        if status == "RUNNING":
            self.client.update_run(run_id, status)
        else:
            self.client.set_terminated(run_id, status, time)

    def ended_since(self, run_id: str, time: int) -> bool:
        """Whether the run has ended at ``time`` (ms) or later, by another machine's hand say."""
        info = self.client.get_run(run_id).info
        return info.status != "RUNNING" and (info.end_time or 0) >= time

    def find(self, run_id: str) -> str:
        """The full id of a run given by its id or by an unambiguous beginning of it.

        Raises:
            StoreError: no run, or several, begin so.
        """
        return self._run(run_id).info.run_id

    def recorded(self, run_id: str) -> RecordedRun:
        """Everything MLflow holds of a run but its history and artifacts.

        Raises:
            StoreError: there is no such run.
        """
        run = self._run(run_id)
        experiment = self.client.get_experiment(run.info.experiment_id)
        return RecordedRun(
            run_id=run.info.run_id,
            experiment=experiment.name,
            experiment_id=run.info.experiment_id,
            name=run.info.run_name or "",
            status=run.info.status,
            params=dict(run.data.params),
            tags=dict(run.data.tags),
            metrics=dict(run.data.metrics),
            artifact_uri=run.info.artifact_uri,
        )

    def latest(self, experiment: str | None = None) -> str:
        """The id of the run that began last, in one experiment or in all.

        Raises:
            StoreError: there is no such experiment, or no run in it.
        """
        where = f" in experiment {experiment!r}" if experiment else ""
        with _told(f"The runs of {self.location.uri} cannot be read"):
            known = {e.name: e.experiment_id for e in self.client.search_experiments()}
            if experiment is not None and experiment not in known:
                raise StoreError(
                    f"There is no experiment {experiment!r} in {self.location.uri}. "
                    f"{did_you_mean(experiment, known)}"
                )
            ids = [known[experiment]] if experiment else list(known.values())
            runs = self.client.search_runs(
                ids, max_results=1, order_by=["attributes.start_time DESC"]
            )
        if not runs:
            raise StoreError(f"There is no run{where} in {self.location.uri} yet.")
        return runs[0].info.run_id

    def tagged(self, tag: str, value: str) -> list[str]:
        """The ids of the runs whose ``tag`` is ``value``, the newest first."""
        return [run.info.run_id for run in self.search(f"tags.`{tag}` = '{value}'")]

    def search(self, condition: str) -> Iterator[Run]:
        """The runs of all experiments that meet MLflow's filter, the newest first.

        Raises:
            StoreError: the store does not answer.
        """
        token: str | None = None
        with _told(f"The runs of {self.location.uri} cannot be read"):
            ids = [e.experiment_id for e in self.client.search_experiments()]
            while ids:
                page = self.client.search_runs(
                    ids,
                    condition,
                    max_results=PAGE,
                    order_by=["attributes.start_time DESC"],
                    page_token=token,
                )
                yield from page
                token = page.token
                if not token:
                    return

    def annotate(self, run_id: str, tags: Mapping[str, str], texts: Mapping[str, str]) -> None:
        """Add tags and text artifacts (path -> text) to a run that has ended.

        Raises:
            StoreError: the store refuses or does not answer.
        """
        with _told(f"Nothing can be added to run {run_id}"):
            self.send_tags(run_id, tags)
            for path, text in texts.items():
                self.client.log_text(run_id, text, path)

    def tag_experiment(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags on the experiment that a run is in.

        Raises:
            StoreError: the store refuses or does not answer.
        """
        experiment_id = self.recorded(run_id).experiment_id
        with _told(f"The experiment of run {run_id} cannot be tagged"):
            for key, value in tags.items():
                self.client.set_experiment_tag(experiment_id, key, value)

    # Metrics, params, tags, inputs

    def send_points(self, run_id: str, points: Sequence[Point]) -> None:
        """Store up to 1,000 points. Sending the same points again stores nothing new.

        The key of MLflow's table is (run, key, step, time, value), so a batch whose answer was
        lost can be sent again as it is. A value that is not finite goes out as NaN, because
        MLflow stores +Inf as 1.8e308 and would rank it best; NaN ranks last.
        """
        self.client.log_batch(
            run_id, [Metric(p.key, finite_or_nan(p.value), p.time, p.step) for p in points]
        )

    def send_params(self, run_id: str, params: Mapping[str, str]) -> None:
        """Store params, in pieces of MLflow's limit of 100."""
        items = list(params.items())
        for start in range(0, len(items), 100):
            piece = items[start : start + 100]
            self.client.log_batch(run_id, params=[Param(key, value) for key, value in piece])

    def send_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        items = list(tags.items())
        for start in range(0, len(items), 100):
            piece = items[start : start + 100]
            self.client.log_batch(run_id, tags=[RunTag(k, v[:TAG_LENGTH]) for k, v in piece])

    def send_dataset(
        self, run_id: str, name: str, digest: str, source: Mapping[str, str], context: str
    ) -> None:
        """Record a dataset as an input of the run; the digest is cut to what MLflow takes."""
        entity = Dataset(name, digest[:DIGEST_LENGTH], "code", json.dumps({"tags": dict(source)}))
        tag = InputTag("mlflow.data.context", context)
        self.client.log_inputs(run_id, [DatasetInput(entity, [tag])])

    def latest_points(self, run_id: str) -> list[Point]:
        """The last point of each metric."""
        latest = self.client.get_run(run_id).data.to_proto().metrics
        return [Point(p.key, p.value, p.step, p.timestamp) for p in latest]

    def history(self, run_id: str, key: str) -> list[Point]:
        """Every point of one metric, by step."""
        with _told(f"The history of {key!r} cannot be read"):
            points = self.client.get_metric_history(run_id, key)
        return sorted(
            (Point(p.key, p.value, p.step, p.timestamp) for p in points),
            key=lambda point: (point.step, point.time),
        )

    def histories(self, run_id: str) -> dict[str, list[Point]]:
        """Every point of every metric, each metric's by step."""
        return {key: self.history(run_id, key) for key in self.recorded(run_id).metrics}

    # Artifacts

    def send_file(self, run_id: str, file: Path, artifact_path: str | None) -> None:
        """Store a file, or a folder with all in it, under ``artifact_path`` (a folder)."""
        if file.is_dir():
            self.client.log_artifacts(run_id, str(file), artifact_path)
        else:
            self.client.log_artifact(run_id, str(file), artifact_path)

    def download(self, run_id: str, artifact_path: str, to: Path) -> Path:
        """Copy an artifact, file or folder, below the folder ``to`` and return where it lies.

        Raises:
            StoreError: the run has no such artifact; those it has are named.
        """
        run_id = self.find(run_id)
        to.mkdir(parents=True, exist_ok=True)
        try:
            return Path(self.client.download_artifacts(run_id, artifact_path, str(to)))
        except (MlflowException, OSError) as error:
            folder = str(Path(artifact_path).parent)
            with _told(f"The artifacts of run {run_id} cannot be read"):
                found = self.client.list_artifacts(run_id, None if folder == "." else folder)
            raise StoreError(
                f"Run {run_id} has no artifact {artifact_path!r}. "
                f"{did_you_mean(artifact_path, [item.path for item in found])}"
            ) from error

    def text(self, run_id: str, artifact_path: str) -> str:
        """What stands in a text artifact.

        Raises:
            StoreError: the run has no such artifact.
        """
        with tempfile.TemporaryDirectory() as folder:
            return self.download(run_id, artifact_path, Path(folder)).read_text("utf-8")

    def _run(self, run_id: str) -> Run:
        with _told(f"The runs of {self.location.uri} cannot be read"):
            with contextlib.suppress(MlflowException):
                run = self.client.get_run(run_id)
                moved.refuse(self.location, run.info.artifact_uri)
                return run
            ids = [e.experiment_id for e in self.client.search_experiments()]
            if len(run_id) >= SHORTEST_PREFIX and run_id.isalnum():
                condition = f"attributes.run_id LIKE '{run_id}%'"
                found = list(self.client.search_runs(ids, condition, max_results=3))
                if len(found) == 1:
                    moved.refuse(self.location, found[0].info.artifact_uri)
                    return found[0]
                if found:
                    names = " or ".join(run.info.run_id for run in found)
                    raise StoreError(
                        f"Several runs begin with {run_id!r}: {names}. Give more of it."
                    )
            newest = self.client.search_runs(
                ids, max_results=1000, order_by=["attributes.start_time DESC"]
            )
        ids = [run.info.run_id for run in newest]
        near = nearest(run_id, ids) or ids[:1]
        raise StoreError(
            f"There is no run {run_id!r} in {self.location.uri}. "
            + (f"Nearest: {', '.join(near)}. " if near else "It holds no runs yet. ")
            + "`python -m pipeline.ui` lists the runs of a store; `latest` names the newest."
        )


def finite_or_nan(value: float) -> float:
    return value if math.isfinite(value) else math.nan


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    """Turn MLflow's errors into one sentence for the user."""
    try:
        yield
    except StoreError:
        raise
    except Exception as error:  # MLflow lets through what SQLAlchemy, requests and urllib3 raise
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        advice = "Check tracking.uri and tracking.root."
        if "out-of-date database schema" in str(error):
            advice = "It was made by another version of MLflow; the text above says how to move it."
        elif "401" in first or "403" in first:
            advice = "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD or _TOKEN."
        raise StoreError(f"{what}: {first[:500]} {advice}") from error


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number that has no name
        return "unknown"
