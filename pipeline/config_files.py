"""Hydra's composition, with what does not change between two compositions kept.

Hydra reads some 25 files and schemas for each config that it composes. A sweep's trials are
composed one by one before the first starts, and a notebook composes often. Here each file is
parsed once and each choice of files merged once, for as long as nobody edits one of them.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigResult, ConfigSource
from omegaconf import DictConfig

# Keys tell objects apart by their ids. The values hold on to these objects, so that no later one
# can be given the same id.
_parsed: dict[Any, tuple[ConfigResult, Any]] = {}
_merged: dict[Any, tuple[DictConfig, Any]] = {}


class Loader(ConfigLoaderImpl):
    """``ConfigLoaderImpl`` that reads files and merges choices of them once a process."""

    def __init__(self, config_search_path: ConfigSearchPath) -> None:
        super().__init__(config_search_path)
        self.repository = _Repository(config_search_path)

    def _compose_config_from_defaults_list(self, defaults: Any, repo: Any) -> DictConfig:
        files = [repo.load_config(default.config_path).config for default in defaults]
        # A file that was edited has been parsed again, to another object.
        key = tuple(
            (default.config_path, default.package, default.primary, id(file))
            for default, file in zip(defaults, files, strict=True)
        )
        if key not in _merged:
            mutable = copy.deepcopy(repo)  # merging takes its sources apart
            _merged[key] = super()._compose_config_from_defaults_list(defaults, mutable), files
        return copy.deepcopy(_merged[key][0])


class _Repository(ConfigRepository):
    """``ConfigRepository`` that parses a file again only after it has changed."""

    def load_config(self, config_path: str) -> ConfigResult | None:
        source = self._find_object_source(config_path, ObjectType.CONFIG)
        state, held = _state(source, config_path) if source else (None, None)
        if source is None or state is None:
            return super().load_config(config_path)
        key = (source.scheme(), source.path, source.provider, config_path, state)
        if key not in _parsed:
            found = super().load_config(config_path)
            assert found is not None
            _parsed[key] = found, held
        return _parsed[key][0]

    def __deepcopy__(self, memo: Any) -> _Repository:
        """For each composition Hydra copies the repository, to give it a new list of sources."""
        return copy.copy(self)


def _state(source: ConfigSource, config_path: str) -> tuple[Any, Any]:
    """What changes when the config does (None where that cannot be told); what to hold on to."""
    file = f"{config_path.removesuffix('.yaml')}.yaml"
    if source.scheme() == "structured":
        node = ConfigStore.instance()._load(file).node
        return id(node), node
    if source.scheme() == "file":
        stat = (Path(source.path) / file).stat()
        return (stat.st_mtime_ns, stat.st_size, stat.st_ino), None
    return ("installed" if source.path == "hydra.conf" else None), None
