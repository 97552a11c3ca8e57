"""stde doctor: what would stop a run."""

import os
import shutil
from importlib import util
from pathlib import Path

from stde_cli.cli.arguments import Parser
from stde_cli.system import slurm


def parser() -> Parser:
    return Parser("doctor", "Devices, memory, versions, wandb's state: what would stop a run.")


def main(arguments: list[str]) -> int:
    parser().parse_args(arguments)
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="dim")
    problems: list[str] = []
    for name, finding in _findings(problems):
        table.add_row(name, Text(finding))
    console = Console(highlight=False, soft_wrap=True)
    console.print(table)
    for problem in problems:
        console.print(f"problem: {problem}", markup=False)
    if not problems:
        console.print("nothing stands in the way of a run")
    return 1 if problems else 0


def _findings(problems: list[str]):
    import jax

    from stde_cli.system.environment import versions
    from stde_cli.system.resources import available_memory_bytes

    yield from versions().items()
    try:
        devices = jax.devices()
        yield "devices", ", ".join(f"{d.platform} ({d.device_kind})" for d in devices)
        available = available_memory_bytes()
        if available is not None:
            yield "memory free", f"{available / 1e9:.1f} GB"
    except RuntimeError as error:
        problems.append(f"JAX finds no device: {str(error).splitlines()[0]}")
    yield "cores", str(os.cpu_count())
    yield "disk free here", f"{shutil.disk_usage('.').free / 1e9:.1f} GB"
    runs = Path("runs") if Path("runs").exists() else Path()
    yield "runs directory", str(Path("runs").absolute())
    if not os.access(runs, os.W_OK):
        problems.append(f"{runs.absolute()} cannot be written to: set run_dir")
    launcher = util.find_spec("hydra_plugins.hydra_joblib_launcher") is not None
    yield "joblib launcher", "installed" if launcher else "pip install 'stde[sweep]'"
    yield "Slurm", "sbatch is here" if slurm.is_here() else "none here"

    from stde_cli.runs.tracking.wandb import obstacle_to_online

    obstacle = obstacle_to_online()
    yield "wandb", f"offline ({obstacle})" if obstacle else "online"
    cache = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    yield "compilation cache", cache or "off; set runtime.compilation_cache=DIR"
