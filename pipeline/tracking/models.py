"""Checkpoints and final models as MLflow's logged models, ranked there by their metrics.

A checkpoint's role is a tag: ``best``, ``last`` or ``best+last``. ``Checkpoints`` keeps exactly
the newest best and the newest last of a run, and may be interrupted anywhere: what was being
uploaded stays PENDING, is never offered, and is swept when the run is opened again.
"""

from __future__ import annotations

import contextlib
import errno
import math
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelStatus, Metric
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

from pipeline.errors import StoreError, TrainingError
from pipeline.tracking.store import DIGEST_LENGTH, Point, Store

CHECKPOINT = "checkpoint"  # MLflow's model_type
FINAL = "model"
SAVED_MODEL = "tf2model"  # where a final model has TensorFlow's own format, in MLflow's words


@dataclass(frozen=True)
class PublishedCheckpoint:
    """A checkpoint that MLflow holds whole."""

    model_id: str
    step: int
    roles: frozenset[str]  # best, last
    metrics: dict[str, float]
    delivery: str = ""  # which publishing it came of: one step may be saved and sent again


class Models:
    """The logged models of one run."""

    def __init__(self, store: Store, run_id: str) -> None:
        self.store = store
        self.run_id = run_id
        self.experiment_id = store.client.get_run(run_id).info.experiment_id

    def checkpoints(self) -> list[PublishedCheckpoint]:
        """Those that are whole, by step."""
        found = [m for m in self._search(CHECKPOINT) if m.status == LoggedModelStatus.READY]
        published = [
            PublishedCheckpoint(
                model_id=model.model_id,
                step=int(model.params["step"]),
                roles=frozenset(filter(None, model.tags.get("role", "").split("+"))),
                metrics={metric.key: metric.value for metric in model.metrics or []},
                delivery=model.tags.get("delivery", ""),
            )
            for model in found
        ]
        return sorted(published, key=lambda checkpoint: checkpoint.step)

    def publish(
        self,
        folder: Path,
        step: int,
        roles: frozenset[str],
        points: list[Point],
        dataset: tuple[str, str] | None = None,
    ) -> str:
        """Upload ``folder`` as the checkpoint of ``step``, give it ``roles``, drop the superseded.

        Args:
            points: the metrics it is ranked by. They are the run's own points, time included, so
                that MLflow does not store them in the run's history a second time.
            dataset: name and digest of what it was evaluated on.

        Returns:
            MLflow's id of the model.
        """
        before = self.checkpoints()
        delivery = folder.parent.name  # one name for each time that a checkpoint is published
        same = [c for c in before if c.step == step and c.delivery == delivery]
        if same:  # sent, but the process died before it could note that
            model_id = same[-1].model_id
        else:
            model_id = self._upload(
                folder, f"{CHECKPOINT}-{step}", CHECKPOINT, step, roles, points, dataset, delivery
            )
        self._assign(model_id, step, roles, before)
        return model_id

    def publish_model(
        self,
        folder: Path,
        name: str,
        step: int,
        points: list[Point],
        dataset: tuple[str, str] | None = None,
    ) -> str:
        """Upload a folder that ``mlflow.<flavor>.save_model`` wrote, and link it to the run."""
        for model in self._search(FINAL):  # of an attempt that was cut off
            if model.name == name and model.params.get("step") == str(step):
                self.delete(model.model_id)
        model_id = self._upload(folder, name, FINAL, step, frozenset(), points, dataset)
        output = LoggedModelOutput(model_id, step=step)
        self.store.client.log_outputs(self.run_id, [output])
        return model_id

    def final(self) -> tuple[str, str] | None:
        """Id and artifact address of the model that the run exported last; None: there is none."""
        found = [m for m in self._search(FINAL) if m.status == LoggedModelStatus.READY]
        last = max(found, key=lambda model: model.creation_timestamp, default=None)
        return (last.model_id, last.artifact_location) if last else None

    def delete(self, model_id: str) -> None:
        """Remove a logged model and its files. Removing what is gone is no error."""
        with contextlib.suppress(MlflowException):
            model = self.store.client.get_logged_model(model_id)
            self.store.client.delete_logged_model(model_id)
            # A store that cannot delete keeps the files: they waste space and nothing else.
            with contextlib.suppress(Exception):
                repository = get_artifact_repository(
                    model.artifact_location, tracking_uri=self.store.location.uri
                )
                repository.delete_artifacts()
                if isinstance(repository, LocalArtifactRepository):  # leaves an empty folder
                    shutil.rmtree(Path(repository.artifact_dir).parent, ignore_errors=True)

    def sweep(self) -> None:
        """Remove what an interrupted upload has left."""
        for model in self._search(None):
            if model.status == LoggedModelStatus.PENDING:
                self.delete(model.model_id)

    def fetch(self, role: str, to: Path) -> tuple[Path, int]:
        """Copy the checkpoint with ``role`` (``best`` or ``last``) into the folder ``to``.

        Returns:
            The folder that holds its files, and its step.

        Raises:
            StoreError: the run has none.
        """
        found = [c for c in self.checkpoints() if role in c.roles]
        if not found:
            raise StoreError(
                f"Run {self.run_id} has no {role} checkpoint in {self.store.location.uri}. "
                "It may have ended before the first one: see trainer.checkpoint_every."
            )
        return self.download(found[-1].model_id, to), found[-1].step

    def download(self, model_id: str, to: Path) -> Path:
        """Copy the files of a checkpoint into the folder ``to``. Returns the folder they are in.

        Raises:
            StoreError: they cannot be read, or are gone.
            TrainingError: they can, but there is no room for them here.
        """
        to.mkdir(parents=True, exist_ok=True)
        try:
            model = self.store.client.get_logged_model(model_id)
            repository = get_artifact_repository(
                model.artifact_location, tracking_uri=self.store.location.uri
            )
            return Path(repository.download_artifacts("", str(to)))
        except Exception as error:  # each kind of artifact store raises its own
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise TrainingError(f"{to}: {error.strerror}. Make room, and try again.") from error
            reason = str(error).strip().split("\n")[0][:300]
            raise StoreError(f"checkpoint {to.name}: it cannot be read: {reason}") from error

    def holds(self, checkpoint: PublishedCheckpoint, folder: Path) -> bool:
        """Whether MLflow has every file of ``folder``, at its size, in that checkpoint."""
        model = self.store.client.get_logged_model(checkpoint.model_id)
        repository = get_artifact_repository(
            model.artifact_location, tracking_uri=self.store.location.uri
        )
        sizes: dict[str, int] = {}
        waiting = [""]
        for path in waiting:
            for item in repository.list_artifacts(path or None):
                if item.is_dir:
                    waiting.append(item.path)
                else:
                    sizes[item.path] = item.file_size
        files = {
            path.relative_to(folder).as_posix(): path.stat().st_size
            for path in folder.rglob("*")
            if path.is_file()
        }
        return files.items() <= sizes.items()

    def _search(self, kind: str | None) -> list[LoggedModel]:
        condition = f"source_run_id='{self.run_id}'"
        if kind:
            condition += f" AND model_type='{kind}'"
        found: list[LoggedModel] = []
        token: str | None = None
        while True:
            page = self.store.client.search_logged_models(
                [self.experiment_id], condition, page_token=token
            )
            found += page
            token = page.token
            if not token:
                return found

    def _upload(
        self,
        folder: Path,
        name: str,
        kind: str,
        step: int,
        roles: frozenset[str],
        points: list[Point],
        dataset: tuple[str, str] | None,
        delivery: str = "",
    ) -> str:
        self.sweep()  # one process at a time delivers a run: what is pending was given up
        client = self.store.client
        tags = {"role": "+".join(sorted(roles))} if roles else {}
        tags |= {"delivery": delivery} if delivery else {}
        # MLflow keeps a NaN of a model as 0.0, which would be the best of all losses.
        tags |= {f"nonfinite/{p.key}": str(p.value) for p in points if not math.isfinite(p.value)}
        model = client.create_logged_model(
            self.experiment_id, name, self.run_id, tags, {"step": str(step)}, kind
        )
        if (folder / "MLmodel").exists():
            with tempfile.TemporaryDirectory() as scratch:
                description = Path(scratch) / "MLmodel"
                _describe(folder / "MLmodel", model, self.run_id).save(str(description))
                client.log_model_artifacts(model.model_id, str(folder))
                client.log_model_artifact(model.model_id, str(description))
        else:
            client.log_model_artifacts(model.model_id, str(folder))
        name_of_data, digest = dataset or (None, None)
        metrics = [
            Metric(
                point.key,
                point.value,
                point.time,
                point.step,
                model_id=model.model_id,
                dataset_name=name_of_data,
                dataset_digest=digest[:DIGEST_LENGTH] if digest else None,
                run_id=self.run_id,
            )
            for point in points
            if math.isfinite(point.value)
        ]
        if metrics:
            client.log_batch(self.run_id, metrics)
        client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
        return model.model_id

    def _assign(
        self, model_id: str, step: int, roles: frozenset[str], before: list[PublishedCheckpoint]
    ) -> None:
        """Give ``roles`` to the model, take them from all others, delete who is left with none."""
        for checkpoint in before:
            theirs = checkpoint.roles
            own = checkpoint.model_id == model_id
            wanted = theirs | roles if own else theirs - roles
            if not wanted:
                self.delete(checkpoint.model_id)
            elif wanted != theirs:
                tag = {"role": "+".join(sorted(wanted))}
                self.store.client.set_logged_model_tags(checkpoint.model_id, tag)


def _describe(path: Path, model: LoggedModel, run_id: str) -> Any:
    """The MLmodel file with the ids that only the store could give."""
    description = Model.load(str(path))
    description.model_id = model.model_id
    description.model_uuid = model.model_id
    description.run_id = run_id
    description.artifact_path = model.artifact_location
    return description
