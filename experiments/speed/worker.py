"""A process in which one contender trains. ``asking.Process`` starts it and asks it.

A request is a line of JSON on standard input and gets a line of JSON on standard output: ``setup``
a workload, train a ``block`` of it, ``close`` it. The process ends when its standard input does.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import sys
import traceback
from pathlib import Path
from typing import Any

sys.path.insert(1, str(Path(__file__).parents[2]))

from contenders import ENTRIES
from workloads import WORKLOADS

from pipeline.quiet import load_tensorflow


class Worker:
    """Carries out requests. ``name``: of the contender, see ``contenders.ENTRIES``."""

    def __init__(self, name: str, replicas: int, folder: Path) -> None:
        self._entry = ENTRIES[name]
        self._replicas = replicas
        self._folder = folder
        self._contender: Any = None

    def setup(self, workload: str, seconds: float) -> dict[str, Any]:
        """Make and compile what trains ``workload``, in blocks of about ``seconds``."""
        load_tensorflow()
        kind = getattr(
            importlib.import_module(f"contenders.{self._entry.module}"), self._entry.kind
        )
        made = kind(WORKLOADS[workload], self._replicas, self._folder, **self._entry.arguments)
        self._contender = made
        made.calibrate(seconds)
        return {"parameters": made.parameters}

    def block(self) -> dict[str, Any]:
        """Train one block."""
        steps, seconds = self._contender.block()
        if not math.isfinite(self._contender.loss):
            raise RuntimeError(f"its loss is {self._contender.loss}")
        return {"steps": steps, "seconds": seconds, "loss": self._contender.loss}

    def close(self) -> dict[str, Any]:
        """Finish the workload; another one may be set up."""
        if self._contender is not None:
            self._contender.end()
            self._contender = None
        return {}


def _told(error: Exception) -> str:
    """The line that says most: the first, unless TensorFlow has put a heading there."""
    lines = [line.strip() for line in str(error).splitlines()]
    lines = [line for line in lines if line and not line.startswith("[[")] or [""]
    if not lines[0].endswith(":"):
        return lines[0]
    return next((line for line in lines if line.startswith("(0)")), lines[-1])


def main(name: str, replicas: str, folder: str) -> None:
    """Answer requests until standard input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    worker = Worker(name, int(replicas), Path(folder))
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(worker, request.pop("what"))(**request)
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {_told(error)[:200]}"}
        print(json.dumps(answer), file=answers, flush=True)
    os._exit(0)  # past what libraries may wait for


if __name__ == "__main__":
    main(*sys.argv[1:])
