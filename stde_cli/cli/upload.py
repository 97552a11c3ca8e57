"""stde upload RUN...: what was logged to wandb offline, uploaded."""

from pathlib import Path

from stde_cli.cli.arguments import Parser
from stde_cli.system.errors import UsageError


def parser() -> Parser:
    parser = Parser(
        "upload",
        "Upload what runs logged to Weights & Biases offline, on nodes without a network, say.",
    )
    parser.add_argument(
        "runs",
        metavar="RUN",
        nargs="+",
        type=Path,
        help="run directories, sweeps, or directories of runs",
    )
    return parser


def main(arguments: list[str]) -> int:
    options = parser().parse_args(arguments)
    for place in options.runs:
        if not place.is_dir():
            raise UsageError("RUN", place, "no such directory", "runs are kept under runs/")

    from stde_cli.runs.tracking.upload import FAILED, upload

    found, said = upload(options.runs)
    for record, status in found:
        print(f"{record}: {status}")
    if not found:
        print(f"nothing was logged offline in {', '.join(map(str, options.runs))}")
    if any(status == FAILED for _, status in found):
        print(said, end="")
        return 1
    return 0
