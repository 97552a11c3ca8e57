"""stde resume RUN: go on from the newest checkpoint."""

import shlex
from argparse import ArgumentTypeError
from pathlib import Path

from stde_cli.cli.arguments import Parser, add_trust
from stde_cli.runs.directory import RunDirectory
from stde_cli.runs.reporting.summary import show_summary
from stde_cli.runs.summary import FINISHED
from stde_cli.system.interrupts import Interrupts


def parser() -> Parser:
    parser = Parser(
        "resume",
        "Go on from the newest checkpoint of RUN, to the same result, bit for bit, "
        "as a run that was never interrupted. With steps=N, train on to step N.",
    )
    parser.add_argument("run", metavar="RUN", type=Path, help="a run directory")
    parser.add_argument(
        "steps",
        metavar="steps=N",
        nargs="?",
        type=_steps,
        help="train on to step N; a schedule then spans all N of them",
    )
    add_trust(parser)
    return parser


def main(arguments: list[str]) -> int:
    options = parser().parse_args(arguments)
    run = RunDirectory.open(options.run)
    summary = run.read_summary()
    further = options.steps is not None and options.steps != summary.steps_planned

    if summary.status == FINISHED and not further:
        print(f"{run.path} is finished already")
    else:
        command = shlex.join(["stde", "resume", str(run.path)])
        with Interrupts() as interrupts:
            from stde_cli.config import saved
            from stde_cli.config.validate import validate
            from stde_cli.jobs import solve as session
            from stde_cli.jobs.requeue import requeued

            config = saved.load(run, trust=options.trust, tracked=True)
            if further:
                config.steps = options.steps
                validate(config, trusted=options.trust, tracked=True, new=False)
            with requeued(run):
                summary = session.resume(config, run, command=command, interrupts=interrupts)
    show_summary(summary)
    return 0


def _steps(text: str) -> int:
    key, _, value = text.partition("=")
    if key != "steps" or not value.isdecimal():
        raise ArgumentTypeError(f"{text} is not steps=N, the one setting that can be changed")
    return int(value)
