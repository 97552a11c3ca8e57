"""stde resume RUN: go on from the newest checkpoint."""

import shlex
from pathlib import Path

from stde_cli.cli.arguments import Parser, add_trust
from stde_cli.runs.directory import RunDirectory
from stde_cli.runs.reporting.summary import show_summary
from stde_cli.system.interrupts import Interrupts


def parser() -> Parser:
    parser = Parser(
        "resume",
        "Go on from the newest checkpoint of RUN, to the same result, bit for bit, "
        "as a run that was never interrupted.",
    )
    parser.add_argument("run", metavar="RUN", type=Path, help="a run directory")
    add_trust(parser)
    return parser


def main(arguments: list[str]) -> int:
    options = parser().parse_args(arguments)
    run = RunDirectory.open(options.run)
    summary = run.read_summary()

    if summary["status"] == "finished":
        print(f"{run.path} is finished already")
    else:
        command = shlex.join(["stde", "resume", str(run.path)])
        with Interrupts() as interrupts:
            from stde_cli.config import saved
            from stde_cli.jobs import solve as session

            config = saved.load(run, trust=options.trust, tracked=True)
            summary = session.resume(config, run, command=command, interrupts=interrupts)
    show_summary(summary)
    return 0
