"""From words of a command line to the runs that they name.

A word names runs in one of these ways, tried in this order:

- the name of an experiment: all its runs, less the parents of sweeps;
- a filter, which it is where it compares something: those that it fits, of the experiment that
  ``tracking.experiment`` names, else of the one of the newest run;
- a list of experiments, run ids (or beginnings of them) and ``latest``, with commas between. The
  id of a sweep's parent stands for its trials.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property

from pipeline.analysis import filters
from pipeline.analysis.leaderboard import SPACE_TAG, siblings
from pipeline.errors import StoreError, did_you_mean
from pipeline.tracking.runs import Run, Runs, find

COMPARES = re.compile(r"[<>=!]|\s(in|like)\b")
LOOKS_LIKE_ID = re.compile(r"[0-9a-f]{4,32}")


class Chosen:
    """What the words choose from one store."""

    def __init__(self, runs: Runs, experiment: str | None) -> None:
        self.runs = runs
        self._given = experiment

    @cached_property
    def experiments(self) -> list[str]:
        """All there are, that of the newest run first."""
        return self.runs.experiments()

    @cached_property
    def experiment(self) -> str:
        """The one that is meant where none is named.

        Raises:
            StoreError: there is no such experiment, or none at all.
        """
        name = self._given or next(iter(self.experiments), None)
        if name is None:
            raise StoreError("The store holds no runs yet.")
        if name not in self.experiments:
            raise StoreError(
                f"There is no experiment {name!r}. {did_you_mean(name, self.experiments)}"
            )
        return name

    @cached_property
    def everything(self) -> list[Run]:
        """The runs of that experiment."""
        return self._of_experiment(self.experiment)

    def by(self, word: str) -> list[Run]:
        """The runs that a word names.

        Raises:
            UserError: it names none; the text says what there is.
        """
        if word in self.experiments:
            return self._of_experiment(word)
        if COMPARES.search(word):
            condition = filters.parse(word, self.everything)
            found = [run for run in self.everything if condition(run)]
            if not found:
                raise StoreError(f"No run of experiment {self.experiment!r} fits {word!r}.")
            return found
        found = [run for part in word.split(",") if part for run in self._of(part.strip())]
        return list({run.run_id: run for run in found}.values())

    def group_of(self, runs: Sequence[Run], key: str) -> list[Run]:
        """``runs`` and those of the same experiments that differ from them in ``key`` alone."""
        found = {run.run_id: run for run in runs}
        for run in runs:
            for other in siblings(run, self._of_experiment(run.experiment), key):
                found.setdefault(other.run_id, other)
        return list(found.values())

    def _of(self, word: str) -> list[Run]:
        if word in self.experiments:
            return self._of_experiment(word)
        if word == "latest":
            word = next(iter(self.runs.beginning("")), word)
        elif not LOOKS_LIKE_ID.fullmatch(word):
            raise StoreError(
                f"There is no experiment {word!r}. {did_you_mean(word, self.experiments)} A run is "
                "named by its id, and a filter compares something: 'seed=0'."
            )
        [run] = self.runs.read(ids=[(run_id := find(self.runs, word))])
        if SPACE_TAG not in run.tags:
            return [run]
        trials = self.runs.read(parent=run_id)
        if not trials:
            raise StoreError(f"The sweep {run_id} has no trials yet.")
        return trials

    def _of_experiment(self, name: str) -> list[Run]:
        if name not in self._read:
            found = self.runs.read(experiment=name)
            self._read[name] = [run for run in found if SPACE_TAG not in run.tags]
        return self._read[name]

    @cached_property
    def _read(self) -> dict[str, list[Run]]:
        return {}
