"""TFDS builders that have no list of configs: what a user asks for is the config."""

from __future__ import annotations

import logging
from typing import Any

import tensorflow_datasets as tfds


class Unlisted(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """A builder whose arguments decide what it makes: each choice has a folder of its own.

    Args:
        called: the folder, for a subclass to say.
        options: those that every TFDS builder takes.
    """

    def __init__(self, *, called: str, **options: Any) -> None:
        if options.get("config") in (None, called):
            options["config"] = tfds.core.BuilderConfig(name=called)
        log = logging.getLogger("absl")
        level = log.level
        log.setLevel(logging.ERROR)  # TFDS warns of every config that no list names
        try:
            super().__init__(**options)
        finally:
            log.setLevel(level)
