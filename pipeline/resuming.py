"""A run's recorded config: what ``resume=`` and ``pipeline.evaluate`` need beside its id."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf

from pipeline import preflight
from pipeline.config import Train
from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from pipeline.tracking.store import Store

CONFIG_FILE = "config.yaml"
# Of the present command, not of the recorded one. What trains a model is the rest.
STAYS = ("tracking", "resume", "hydra", "trusted_packages", "sweep")
# Runs were recorded before there were these. Empty they say what was so then.
LATER = ("mix", "buckets")  # of dataset

EXTENDING = ("trainer.duration=", "trainer.early_stopping.")  # what makes a finished run go on


def read_config(store: Store, run_id: str) -> DictConfig:
    """The composed config of a run, as it was trained. Keys that are newer have their defaults."""
    from pipeline.tracking.artifacts import recorded_text

    recorded = OmegaConf.create(recorded_text(store, run_id, CONFIG_FILE))
    if not isinstance(recorded, DictConfig):
        raise ConfigError(f"run {run_id}: its {CONFIG_FILE} does not hold a config")
    defaults = OmegaConf.to_container(OmegaConf.structured(Train))
    complete = OmegaConf.merge(OmegaConf.create(defaults), recorded)
    assert isinstance(complete, DictConfig)
    return complete


def config_digest(config: DictConfig) -> str:
    """SHA-256 of all that decides what is trained: equal for two runs that should be the same."""
    values = OmegaConf.to_container(config, resolve=True)
    assert isinstance(values, dict)
    trained = {key: value for key, value in values.items() if key not in STAYS}
    data = trained.get("dataset", {}).items()
    trained["dataset"] = {key: value for key, value in data if value or key not in LATER}
    return hashlib.sha256(json.dumps(trained, sort_keys=True).encode()).hexdigest()


def changing(overrides: Sequence[str]) -> list[str]:
    """Those that decide what is trained."""
    return [o for o in overrides if o.split("=")[0].split(".")[0].lstrip("+") not in STAYS]


def recorded_config(
    store: Store, config: DictConfig, overrides: Sequence[str]
) -> tuple[DictConfig, str]:
    """The config with which to go on with run ``config.resume``, and the run's full id.

    It is the recorded one, with what ``overrides`` change of it (``trainer.duration=60 epochs``).

    Raises:
        ConfigError: the run is finished and nothing is asked beyond it.
    """
    asked = str(config.resume)
    run_id = store.latest() if asked == "latest" else store.find(asked)
    recorded = read_config(store, run_id)
    changes = changing(overrides)
    groups = [o for o in changes if "." not in o.split("=")[0] and not o.startswith("seed=")]
    if groups:
        raise ConfigError(
            f"resume={asked} goes on with the recorded config; {' '.join(groups)} would choose "
            "another. Start a new run for that, or change single keys."
        )
    extends = [o for o in changes if o.lstrip("+").startswith(EXTENDING)]
    if store.recorded(run_id).status == "FINISHED" and not extends:
        ignored = f" {' '.join(changes)} alone does not." if changes else ""
        raise ConfigError(
            f"run {run_id} is finished. To train it further give a longer trainer.duration;"
            f"{ignored or ''} To look at it: python -m pipeline.evaluate run={run_id}."
        )
    for change in changes:
        key = change.lstrip("+").split("=")[0]
        OmegaConf.update(recorded, key, OmegaConf.select(config, key))
    recorded.tracking, recorded.resume = config.tracking, run_id
    recorded.sweep = config.sweep
    recorded.trusted_packages = config.trusted_packages  # a recorded config cannot trust itself
    preflight.check(recorded)
    return recorded, run_id
