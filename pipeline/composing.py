"""From YAML files and overrides to one config, with Hydra, and its errors in our words.

This is Hydra's own composition (the loader that ``@hydra.main`` uses), without its global state:
it can be called in a test, a notebook, or inside a run.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra import version
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import setup_globals
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from pipeline import config
from pipeline.composition_errors import explained
from pipeline.config_files import Loader
from pipeline.errors import ConfigError

VERSION_BASE = "1.3"

# ${short_id:}: six random characters, the same wherever one config (or sweep) asks. Two runs that
# start in the same second would otherwise share an output folder.
OmegaConf.register_new_resolver(
    "short_id", lambda: secrets.token_hex(3), use_cache=True, replace=True
)


def conf_dir() -> Path:
    """The folder of configs: beside the package in a checkout, also when it is installed."""
    package = Path(__file__).resolve().parent
    for folder in (package / "conf", package.parent / "conf"):
        if (folder / "train.yaml").is_file():
            return folder
    raise ConfigError(
        f"no config folder: neither {package / 'conf'} nor {package.parent / 'conf'} holds "
        "train.yaml; install the package again"
    )


def compose(
    config_name: str, overrides: Sequence[str] = (), config_dir: str | None = None
) -> DictConfig:
    """The config that ``python -m pipeline.<config_name>`` would have with these overrides.

    Args:
        config_name: primary config, such as ``train``.
        overrides: as on the command line: ``["+experiment=digits", "seed=1"]``.
        config_dir: one more folder of configs, as ``--config-dir``.

    Raises:
        ConfigError: in words of the user's: the key or file, and the nearest valid one.
    """
    return without_hydra(Composer(config_name, config_dir).load(list(overrides)))


def without_hydra(cfg: DictConfig) -> DictConfig:
    """``cfg`` less Hydra's own settings, which it is composed with."""
    with open_dict(cfg):
        cfg.pop("hydra", None)
    return cfg


@dataclass
class Composer:
    """Composes one primary config, again and again for the trials of a sweep."""

    config_name: str
    config_dir: str | None = None

    def __post_init__(self) -> None:
        config.register()
        version.setbase(VERSION_BASE)
        setup_globals()
        search_path = create_config_search_path(str(conf_dir()))
        if self.config_dir is not None:
            folder = os.path.abspath(self.config_dir)
            if not os.path.isdir(folder):
                raise ConfigError(f"--config-dir: there is no folder {folder}")
            anchor = SearchPathQuery(provider="schema")  # as @hydra.main does it
            search_path.prepend("command-line", f"file://{folder}", anchor)
        self.loader = Loader(search_path)

    def load(self, overrides: list[str], sweep: bool = False) -> DictConfig:
        """The config with its ``hydra`` node. ``sweep``: overrides may name several values."""
        with explained(self, overrides):
            cfg = self.loader.load_configuration(
                self.config_name,
                overrides,
                run_mode=RunMode.MULTIRUN if sweep else RunMode.RUN,
                validate_sweep_overrides=not sweep,
            )
        self._require_own_trust(cfg, overrides)
        return cfg

    def parse(self, overrides: Sequence[str]) -> list[Override]:
        """The overrides as Hydra reads them."""
        with explained(self, overrides):
            return OverridesParser.create(config_loader=self.loader).parse_overrides([*overrides])

    def trials(self, overrides: Sequence[str], most: int) -> Iterator[list[str]]:
        """Overrides of some trials of a sweep, in which each value of each occurs at least once.

        The first trial has the first value of everything; each further one differs from it in one
        value. The grid of all combinations may be far larger. ``most``: how many at the most.
        """
        values: dict[str, list[str]] = {}
        for override in self.parse(overrides):
            key = override.get_key_element()
            if override.is_discrete_sweep():
                with explained(self, overrides):
                    values[key] = [f"{key}={value}" for value in override.sweep_string_iterator()]
                if not values[key]:
                    raise ConfigError(f"{override.input_line}: a sweep over no values")
            elif override.is_interval_sweep():
                span = override.value()
                values[key] = [f"{key}={span.start}", f"{key}={span.end}"]  # type: ignore[union-attr]
            else:
                values[key] = [override.input_line or ""]
        first = {key: options[0] for key, options in values.items()}
        others = [{**first, key: o} for key, options in values.items() for o in options[1:]]
        for trial in [first, *others][:most]:
            yield list(trial.values())

    def space(self, overrides: Sequence[str]) -> dict[str, list[str] | str]:
        """Swept key -> its values, or the text of an interval. What is said last counts."""
        found: dict[str, list[str] | str] = {}
        for override in self.parse(overrides):
            key = override.get_key_element().lstrip("+")
            found.pop(key, None)
            if override.is_discrete_sweep():
                with explained(self, overrides):
                    found[key] = list(override.sweep_string_iterator())
            elif override.is_sweep_override():
                found[key] = (override.input_line or "").partition("=")[2]
        return found

    def groups(self) -> dict[str, list[str]]:
        """Group -> options, ours and those of further config folders; Hydra's own left out."""
        found: dict[str, list[str]] = {}
        listed = self.loader.repository.get_group_options  # the loader's own reads all files first
        pending = [g for g in listed("", ObjectType.GROUP) if g not in ("hydra", "__pycache__")]
        while pending:
            group = pending.pop(0)
            options = listed(group, ObjectType.CONFIG)
            found[group] = [option for option in options if option != "schema"]
            pending += [f"{group}/{inner}" for inner in listed(group, ObjectType.GROUP)]
        return {group: options for group, options in sorted(found.items()) if options}

    def _require_own_trust(self, cfg: DictConfig, overrides: Sequence[str]) -> None:
        """Refuse trust that a file other than the primary config gives: it may be a stranger's."""
        given = OmegaConf.select(cfg, "trusted_packages")
        if not given or any(o.lstrip("+").startswith("trusted_packages=") for o in overrides):
            return
        primary = conf_dir() / f"{self.config_name}.yaml"
        own = OmegaConf.select(OmegaConf.load(primary), "trusted_packages")
        if list(given) != list(own or []):
            names = ",".join(map(str, given))
            raise ConfigError(
                f"trusted_packages: a config file gives trust to {names}, which could come from "
                f"anyone; if you trust it, add 'trusted_packages=[{names}]' to the command line"
            )
