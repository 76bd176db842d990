"""Makes what a config names by ``_target_``."""

from __future__ import annotations

from typing import Any

import hydra.utils
from hydra.errors import InstantiationException
from omegaconf import DictConfig

from pipeline.errors import ConfigError


def make(config: DictConfig, key: str, path: str | None = None) -> Any:
    """What ``config[key]`` names by its ``_target_``, or several such by name.

    Raises:
        ConfigError: its constructor refuses what it is given; ``path`` says where.
    """
    try:
        return hydra.utils.instantiate(config[key])
    except InstantiationException as error:
        # Hydra says "Error in call to target '…':\nValueError('…')\nfull_key: …".
        cause = error.__cause__ or error
        where = (
            str(error).rpartition("full_key: ")[2] if "full_key: " in str(error) else path or key
        )
        raise ConfigError(f"{where}: {cause}") from error
