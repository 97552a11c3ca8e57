"""`hydra/sweeper=optuna`: Hydra makes sweepers of this package alone, and looks through it at each
start. What the sweeper does is in `stde_cli/cli/tuning.py`, imported when it is asked for."""

from typing import Any

from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class OptunaSweeper(Sweeper):
    def __init__(self, **settings: Any):
        self._settings = settings
        self.launcher: Launcher | None = None

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.hydra_context, self.config = hydra_context, config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        from stde_cli.cli.tuning import Tuning

        assert self.config is not None
        assert self.hydra_context is not None
        assert self.launcher is not None
        Tuning(self._settings, self.config, self.hydra_context, self.launcher).run(arguments)
