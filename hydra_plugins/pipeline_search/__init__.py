"""Sweepers of our own. Hydra takes them from this namespace alone."""

from __future__ import annotations

import random
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class OptunaSearch(Sweeper):
    """Proposes trials by what earlier ones came to. Its settings are ``sweep.*`` of the config."""

    def __init__(self, params: dict[str, str] | None = None) -> None:
        self.params = dict(params or {})

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.config = config
        self.hydra_context = hydra_context
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        from pipeline.searching import search  # not for every command: it loads Optuna

        listed = [f"{key}={value}" for key, value in self.params.items()]
        search(self.config, self.hydra_context, self.launcher, [*listed, *arguments])


class ShuffledGrid(BasicSweeper):
    """Hydra's grid in another order, which ``sweep.seed`` repeats.

    Pruning asks whether a trial is among the best so far. In the order of a list, which often goes
    from small to large, each may be the best so far, and none is pruned.
    """

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)
        self.seed = config.sweep.seed

    def split_arguments(  # type: ignore[override]
        self, overrides: list[Override], max_batch_size: int | None
    ) -> Any:
        [jobs] = BasicSweeper.split_arguments(overrides, None)
        random.Random(self.seed).shuffle(jobs)
        return list(BasicSweeper.split_overrides_to_chunks(jobs, max_batch_size))
