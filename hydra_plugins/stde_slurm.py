"""Found by Hydra, which looks for launchers in packages of this name: `hydra/launcher=slurm`."""

from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf


class SlurmLauncher(Launcher):
    """Hands the jobs of a sweep to Slurm as an array, and leaves, or waits for them.

    What it takes is said in configs/hydra/launcher/slurm.yaml.
    """

    def __init__(self, **settings: Any):
        self._settings = {
            key: OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
            for key, value in settings.items()
        }

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self._context, self._config = hydra_context, config

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        # Whoever uses Hydra imports this file: what it needs is for a sweep of stde's alone.
        from stde_cli.cli.submission import launch

        loader = self._context.config_loader
        return launch(loader, self._config, self._settings, job_overrides, initial_job_idx)
