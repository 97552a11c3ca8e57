"""A measurement in this process, without the seconds that another takes to start."""

from collections.abc import Callable
from typing import Any

from omegaconf import DictConfig

from stde_cli.config.build import configured_jax, refusing
from stde_cli.jobs.benchmarks.child import Measure


class Here:
    """Stands for `stde_cli.jobs.benchmarks.child.Child`."""

    def __init__(self, measure: Measure, config: DictConfig, *, taken_bytes: int):
        self.doing, self.seconds, self.spare_bytes = "compiling", 0.0, 0
        self._config, self._measurement = config, measure(config)

    def turn(self, meanwhile: Callable[[], None], limit_seconds: float | None) -> Any:
        meanwhile()
        with configured_jax(self._config), refusing(self._config):
            try:
                self.doing = next(self._measurement)
            except StopIteration as end:
                return end.value

    def close(self) -> None:
        self._measurement.close()
