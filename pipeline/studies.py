"""What a study asks: ``experiments/<study>/study.yaml``, read and checked before anything runs.

A study trains several configs, its arms, with the same seeds. Two kinds of question are known:
``difference`` (is an arm better than the baseline, by more than seed noise?) and ``same`` (do all
arms give the curves of the baseline, to a tolerance?).
"""

from __future__ import annotations

import fnmatch
import math
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from pipeline import preflight
from pipeline.composing import compose
from pipeline.errors import ConfigError, UserError, did_you_mean
from pipeline.resuming import config_digest

STUDY_FILE = "study.yaml"
TIMING = "speed/*", "system/*"  # of the machine: no other machine has the same
# Keys that the study itself decides, or that say where and how a run is kept.
OWN_KEYS = ("seed", "tracking", "sweep", "resume", "hydra")


class Kind(StrEnum):
    """What a study asks of its arms."""

    difference = "difference"
    same = "same"


class Mode(StrEnum):
    """Which values of the metric are better."""

    max = "max"
    min = "min"


@dataclass
class Schema:
    """The keys of ``study.yaml``."""

    question: str = MISSING
    kind: Kind = Kind.difference
    metric: str = MISSING  # of the verdict: the last value of a run
    mode: Mode = Mode.max
    metrics: list[str] = field(default_factory=list)  # shown besides
    curves: list[str] = field(default_factory=lambda: ["train/loss", "val/loss"])
    tolerance: float = 1e-3  # of kind same: largest relative difference of the curves
    rerun_tolerance: float = 0.01  # relative difference up to which --check takes a rerun for equal
    baseline: str = MISSING  # the arm that the others are compared with
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2, 3, 4])
    config_dir: str | None = None  # one more folder of configs, from the study's own folder
    common: list[str] = field(default_factory=list)  # overrides of every arm
    arms: dict[str, list[str]] = field(default_factory=dict)  # name -> its overrides


@dataclass(frozen=True)
class Planned:
    """One run of a study. ``config``: the digest by which a recorded run is known to be it."""

    arm: str
    seed: int
    config: str


@dataclass(frozen=True)
class Study:
    """A study that was read and whose keys make sense."""

    folder: Path
    asked: Schema

    @property
    def name(self) -> str:
        """That of its folder."""
        return self.folder.name

    @property
    def experiment(self) -> str:
        """The experiment in MLflow that holds its runs."""
        return f"study/{self.name}"

    @property
    def others(self) -> list[str]:
        """The arms that are compared with the baseline."""
        return [arm for arm in self.asked.arms if arm != self.asked.baseline]

    @property
    def shown(self) -> list[str]:
        """The metrics of the table, the decisive one first."""
        return list(dict.fromkeys([self.asked.metric, *self.asked.metrics]))

    @property
    def config_dir(self) -> str | None:
        """One more folder of configs, as ``--config-dir`` takes it."""
        given = self.asked.config_dir
        return None if given is None else str((self.folder / given).absolute())

    def overrides(self, arm: str) -> list[str]:
        """What is trained, but for the seed."""
        return [*self.asked.common, *self.asked.arms[arm]]

    @cached_property
    def plan(self) -> list[Planned]:
        """Every run that the study needs, by arm and seed.

        Raises:
            ConfigError: an arm cannot be composed, or two arms are one config.
        """
        found: list[Planned] = []
        for arm in self.asked.arms:
            config = self._composed(arm)
            for seed in self.asked.seeds:
                config.seed = seed
                found.append(Planned(arm, seed, config_digest(config)))
        arms: dict[str, str] = {}
        for planned in found:
            first = arms.setdefault(planned.config, planned.arm)
            if first != planned.arm:
                raise self._wrong(
                    f"arms: {first} and {planned.arm} are the same config; nothing differs there"
                )
        return found

    def _composed(self, arm: str) -> DictConfig:
        try:
            config = compose("train", self.overrides(arm), self.config_dir)
            preflight.check(config)
        except UserError as error:
            raise self._wrong(f"arms.{arm}: {error}") from error
        return config

    def _wrong(self, what: str) -> ConfigError:
        return ConfigError(f"{self.folder / STUDY_FILE}: {what}")


def names(below: Path) -> list[str]:
    """The studies below a folder."""
    return [file.parent.name for file in sorted(below.glob(f"*/{STUDY_FILE}"))]


def find(name: str, below: Path) -> Study:
    """The study of this name, a folder of ``below``.

    Raises:
        ConfigError: there is none; the nearest is named.
    """
    known = names(below)
    if name in known:
        return read(below / name)
    if (below / name).is_dir():
        raise ConfigError(
            f"{below / name} is not a study of this kind: it has no {STUDY_FILE} and is "
            f"measured otherwise. {did_you_mean(name, known)}"
        )
    raise ConfigError(f"There is no study {name!r} in {below}. {did_you_mean(name, known)}")


def read(folder: Path) -> Study:
    """The study in ``folder``.

    Raises:
        ConfigError: its file is not YAML, a key is unknown, missing or of the wrong type, or the
            values do not make a study.
    """
    file = folder / STUDY_FILE
    try:
        given = OmegaConf.create(yaml.safe_load(file.read_text("utf-8")) or {})
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{file}{line}: not valid YAML: {error.problem}") from error
    if not isinstance(given, DictConfig):
        raise ConfigError(f"{file}: a study is a mapping of keys to values")
    try:
        merged = OmegaConf.merge(OmegaConf.structured(Schema), given)
        if missing := sorted(OmegaConf.missing_keys(merged)):
            raise ConfigError(f"{file}: {', '.join(missing)}: is missing; every study has it")
        asked = OmegaConf.to_object(merged)
    except ConfigKeyError as error:
        key = str(error.key)
        raise ConfigError(f"{file}: {key}: {_no_such_key(key)}") from error
    except OmegaConfBaseException as error:
        first = str(error).splitlines()[0]
        raise ConfigError(f"{file}: {error.full_key or 'a key'}: {first}") from error
    assert isinstance(asked, Schema)
    study = Study(folder, asked)
    for problem in _problems(asked):
        raise ConfigError(f"{file}: {problem}")
    return study


def _no_such_key(key: str) -> str:
    return f"there is no such key. {did_you_mean(key, Schema.__dataclass_fields__)}"


def _problems(asked: Schema) -> list[str]:
    """What a type cannot say."""
    found = []
    if not asked.question.strip():
        found.append("question: say what the study asks")
    if len(asked.arms) < 2:
        found.append("arms: a comparison needs two of them at least, name -> list of overrides")
    elif asked.baseline not in asked.arms:
        near = did_you_mean(asked.baseline, asked.arms)
        found.append(f"baseline: there is no arm {asked.baseline!r}. {near}")
    if len(set(asked.seeds)) < max(2, len(asked.seeds)) or not all(
        0 <= seed < 2**31 for seed in asked.seeds
    ):
        found.append(f"seeds: {asked.seeds}; give two different ones at least, from 0 on")
    for name in (asked.metric, *asked.metrics, *asked.curves):
        if any(fnmatch.fnmatch(name, pattern) for pattern in TIMING):
            found.append(f"{name}: a time is not the same twice, so no study publishes it")
        elif not name.startswith(("train/", "val/", "test/", "best/")):
            found.append(f"{name}: a metric begins with train/, val/, test/ or best/")
    for place, words in {"common": asked.common, **_by_place(asked.arms)}.items():
        for word in words:
            key = word.lstrip("+~").partition("=")[0].partition(".")[0].partition("@")[0]
            if key in OWN_KEYS:
                found.append(f"{place}: {word}: {key} is not an arm's to set, the study does")
    for name in ("tolerance", "rerun_tolerance"):
        value: Any = getattr(asked, name)
        if not (math.isfinite(value) and value >= 0):
            found.append(f"{name}: {value} is out of range; give a number from 0 on")
    return found


def _by_place(arms: dict[str, list[str]]) -> dict[str, list[str]]:
    return {f"arms.{name}": words for name, words in arms.items()}
