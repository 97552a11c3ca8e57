"""stde list: what can be chosen, each with the line that its YAML file opens with."""

from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from stde_cli.cli.arguments import Parser
from stde_cli.system.errors import UsageError

GROUPS = {
    "pde": "pde",
    "solution": "pde/solution",
    "start": "start",
    "network": "network",
    "estimator": "estimator",
    "sampler": "estimator/sampler",
    "collocation": "collocation",
    "loss": "loss",
    "weighting": "weighting",
    "optimizer": "optimizer",
    "schedule": "schedule",
    "tracker": "tracker",
    "reference": "reference",
    "experiment": "experiment",
    "cluster": "cluster",
}


def parser() -> Parser:
    parser = Parser("list", "What can be chosen on the command line.")
    parser.add_argument(
        "group", nargs="?", help=f"one of {', '.join(GROUPS)}; all of them without it"
    )
    parser.add_argument("--config-dir", type=Path, metavar="DIR", help="your own files too")
    return parser


def main(arguments: list[str]) -> int:
    from stde_cli.config.composition import config_directory

    options = parser().parse_args(arguments)
    if options.group is not None and options.group not in GROUPS:
        raise UsageError("group", options.group, "no such group", f"one of {', '.join(GROUPS)}")
    if options.config_dir is not None and not options.config_dir.is_dir():
        raise UsageError("--config-dir", options.config_dir, "no such directory")
    console = Console(highlight=False, soft_wrap=True)
    for group in [options.group] if options.group else GROUPS:
        key = GROUPS[group]
        console.print(f"{'+' if key == 'experiment' else ''}{key}=", style="bold", markup=False)
        table = Table.grid(padding=(0, 2))
        for directory in filter(None, (config_directory(), options.config_dir)):
            for file in sorted((directory / key).glob("*.yaml")):
                table.add_row(f"  {file.stem}", Text(_opening_line(file)))
        console.print(table)
    return 0


def _opening_line(file: Path) -> str:
    lines = [line[1:].strip() for line in file.read_text().splitlines() if line.startswith("#")]
    return next((line for line in lines if not line.startswith("@package")), "")
