"""MLflow's model registry: versions of a named model, and an alias that the best of them holds.

What a version is compared by stands in its tags, so it is known when its run is gone.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from pipeline.errors import StoreError
from pipeline.tracking.location import locked
from pipeline.tracking.store import Store

VERSIONS_TAG = "mlflow.modelVersions"  # of a logged model, by which MLflow's pages link the two
ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")  # no such model; no such alias


@dataclass(frozen=True)
class Candidate:
    """A run's exported model, and what it is compared by.

    Attributes:
        location: address of its files.
        metric, value: its score on the test split; None where it has none.
        mode: ``max`` where more is better, else ``min``.
        dataset: digest of the data.
        config: digest of the run's config.
        objective: the metric by which its checkpoint was chosen.
    """

    run_id: str
    model_id: str
    location: str
    metric: str
    value: float | None
    mode: str
    dataset: str | None
    config: str | None
    objective: str

    def tags(self) -> dict[str, str]:
        """As a version keeps it."""
        known = {
            "model_id": self.model_id,
            "metric": self.metric,
            "value": None if self.value is None else repr(self.value),
            "mode": self.mode,
            "dataset.digest": self.dataset,
            "digest/config": self.config,
            "objective.metric": self.objective,
        }
        return {key: value for key, value in known.items() if value is not None}


@dataclass(frozen=True)
class Holder:
    """The version that has an alias, with its tags."""

    version: str
    run_id: str
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Verdict:
    """Whether a model may have an alias, and why, in words."""

    given: bool
    reason: str


@dataclass(frozen=True)
class Registered:
    """A version, and what became of the alias that was asked for it; None: none was."""

    version: str
    verdict: Verdict | None


def judge(candidate: Candidate, holder: Holder | None, anyway: bool) -> Verdict:
    """Whether ``candidate`` beats the holder: better by the same metric, on the same data.

    Args:
        anyway: give it where the two cannot be compared; what can be compared has to be better.
    """
    value = candidate.value
    if value is None or not math.isfinite(value):
        return Verdict(False, f"run {candidate.run_id} has no finite {candidate.metric}")
    score = f"{candidate.metric} {value:.6g}"
    if holder is None:
        return Verdict(True, f"{score}; nobody held it")
    if holder.tags.get("model_id") == candidate.model_id:
        return Verdict(True, f"{score}; it held it already")
    before = f"version {holder.version} (run {holder.run_id or 'unknown'})"
    if reason := _incomparable(candidate, holder.tags):
        if anyway:
            return Verdict(True, f"{score}; taken from {before} all the same, though {reason}")
        return Verdict(
            False,
            f"it cannot be compared with {before}, which keeps it: {reason}; --anyway gives it "
            "all the same",
        )
    other = float(holder.tags["value"])
    difference = value - other
    if difference == 0:
        return Verdict(False, f"{score} is no better than that of {before}, which keeps it")
    if (difference > 0) == (candidate.mode == "max"):
        return Verdict(True, f"{score} beats {other:.6g} of {before} by {abs(difference):.4g}")
    side = "below" if difference < 0 else "above"
    return Verdict(
        False,
        f"{score} does not beat {before}, which keeps it: it is {abs(difference):.4g} {side} "
        f"{other:.6g}",
    )


def _incomparable(candidate: Candidate, tags: Mapping[str, str]) -> str | None:
    """Why two scores say nothing about each other; None where they do."""
    metric, mode, data = (tags.get(key) for key in ("metric", "mode", "dataset.digest"))
    if "value" not in tags or metric is None or mode is None:
        return "that one was not registered by pipeline.export and has no score"
    if (metric, mode) != (candidate.metric, candidate.mode):
        return f"that one has {metric} ({mode}), this one {candidate.metric} ({candidate.mode})"
    if data is None or candidate.dataset is None:
        return "the digest of the data is not known of both"
    if data != candidate.dataset:
        return (
            f"that one was measured on other data ({data[:12]}, this one {candidate.dataset[:12]})"
        )
    return None


class Registry:
    """The registry of one store. One export at a time changes it on this machine: a lock sees to
    it. From several machines, with one server, two may judge at once; then the later word holds.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.client = store.client

    def register(
        self, name: str, candidate: Candidate, alias: str | None = None, anyway: bool = False
    ) -> Registered:
        """Make ``candidate`` a version of ``name``, unless it is one, and give it ``alias`` if
        ``judge`` says so.

        Raises:
            StoreError: the registry refuses, or does not answer.
        """
        with locked(self.store.location), self._told():
            version = self._version(name, candidate)
            if alias is None:
                return Registered(version, None)
            verdict = judge(candidate, self.holder(name, alias), anyway)
            if verdict.given:
                self.client.set_registered_model_alias(name, alias, version)
            return Registered(version, verdict)

    def holder(self, name: str, alias: str) -> Holder | None:
        """The version of ``name`` that has ``alias``."""
        try:
            found = self.client.get_model_version_by_alias(name, alias)
        except MlflowException as error:
            if error.error_code in ABSENT:
                return None
            raise
        return Holder(str(found.version), found.run_id or "", dict(found.tags))

    def _version(self, name: str, candidate: Candidate) -> str:
        with contextlib.suppress(MlflowException):  # it is there; else the next call says what
            self.client.create_registered_model(name)
        for known in self._of_run(candidate.run_id):
            if known.name == name and known.tags.get("model_id") == candidate.model_id:
                return str(known.version)
        # With source=models:/<id> the local registry would look for the model in MLflow's global
        # store instead of in this client's.
        made = self.client.create_model_version(
            name,
            candidate.location,
            candidate.run_id,
            candidate.tags(),
            model_id=candidate.model_id,
        )
        self._link(candidate.model_id, name, str(made.version))
        return str(made.version)

    def _of_run(self, run_id: str) -> list[ModelVersion]:
        found: list[ModelVersion] = []
        token: str | None = None
        while True:
            page = self.client.search_model_versions(f"run_id='{run_id}'", page_token=token)
            found += page
            token = page.token
            if not token:
                return found

    def _link(self, model_id: str, name: str, version: str) -> None:
        known = self.client.get_logged_model(model_id).tags.get(VERSIONS_TAG, "[]")
        links = [*json.loads(known), {"name": name, "version": version}]
        self.client.set_logged_model_tags(model_id, {VERSIONS_TAG: json.dumps(links)})

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except MlflowException as error:
            first = str(error).strip().splitlines()[0][:300]
            uri = self.store.location.uri
            raise StoreError(f"The model registry of {uri} refuses: {first}") from error
