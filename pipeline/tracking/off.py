"""``tracking=off``: the words of ``Tracker``, and nothing kept but the last metrics."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


class NullTracker:
    """Keeps the last metrics in ``last``; ``folder`` is a temporary one, gone after ``finish``."""

    def __init__(self, run_name: str | None = None) -> None:
        self.run_id = f"off-{uuid.uuid4().hex[:12]}"
        self.last: dict[str, float] = {}
        self.problems: list[str] = []
        self.warning: str | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="pipeline-")
        self.folder = Path(self._folder.name)

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        self.last.update({key: float(value) for key, value in metrics.items()})

    def params(self, flat: Mapping[str, Any]) -> None: ...

    def tags(self, tags: Mapping[str, str]) -> None: ...

    def text(self, text: str, path: str) -> None: ...

    def file(self, path: Path, artifact_path: str | None = None) -> None: ...

    def dataset(
        self, name: str, digest: str, source: Mapping[str, str], context: str = "training"
    ) -> None: ...

    def ranking(self, step: int, metrics: Mapping[str, float]) -> dict[str, Any]:
        return {"step": int(step)}

    def checkpoint(self, folder: Path, ranking: dict[str, Any], best: bool) -> None: ...

    def published(self) -> list[Any]:
        return []

    def model(
        self,
        module: Any,
        name: str,
        example: np.ndarray,
        outputs: np.ndarray,
        pip_requirements: Sequence[str],
        step: int,
        metrics: Mapping[str, float],
    ) -> None: ...

    def finish(self, status: str, error: str | None = None, longest: float = 0.0) -> int:
        self._folder.cleanup()
        return 0
