"""Search by Optuna as a sweeper of Hydra's, which looks for sweepers in this namespace alone."""

from __future__ import annotations

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
