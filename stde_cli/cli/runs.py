"""stde runs [DIR...]: the runs there are, and what became of them."""

import json
from pathlib import Path

from stde_cli.cli.arguments import Parser
from stde_cli.system.errors import UsageError

_PLACES = ("runs", "multirun")


def parser() -> Parser:
    parser = Parser("runs", "The runs in and below each DIR, those of sweeps too; newest first.")
    parser.add_argument(
        "directories", metavar="DIR", nargs="*", type=Path, help="runs/ and multirun/ by default"
    )
    parser.add_argument("--json", action="store_true", help="print a JSON list instead of a table")
    return parser


def main(arguments: list[str]) -> int:
    options = parser().parse_args(arguments)
    for place in options.directories:
        if not place.is_dir():
            raise UsageError("DIR", place, "no such directory")
    places = options.directories or [Path(name) for name in _PLACES]

    from stde_cli.runs.listing import list_runs

    found = list_runs(places)
    if options.json:
        print(json.dumps([run.as_dict() for run in found], indent=2))
    elif found:
        from stde_cli.runs.reporting.listing import show_runs

        show_runs(found)
    else:
        print(f"no runs in {', '.join(map(str, places))}")
    return 0
