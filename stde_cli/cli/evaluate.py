"""stde evaluate RUN: errors and residual on fresh points."""

import json
from pathlib import Path

from stde_cli.cli.arguments import Parser, add_trust, new_file, positive, seed
from stde_cli.runs.directory import RunDirectory


def parser() -> Parser:
    parser = Parser(
        "evaluate",
        "Errors against the exact solution, and the residual, on points that training and its "
        "own tests never saw.",
    )
    parser.add_argument("run", metavar="RUN", type=Path, help="a run directory")
    add_trust(parser)
    parser.add_argument("--points", type=positive, default=20_000, metavar="N", help="how many")
    parser.add_argument("--seed", type=seed, default=1, metavar="S", help="of the points")
    parser.add_argument("--json", type=new_file, metavar="FILE", help="write the figures there")
    parser.add_argument(
        "--plot",
        type=new_file,
        metavar="FILE",
        help="draw loss and errors over the steps (.png, .pdf)",
    )
    return parser


def main(arguments: list[str]) -> int:
    options = parser().parse_args(arguments)
    run = RunDirectory.open(options.run)

    from stde_cli.jobs import trained

    loaded = trained.load(run, trust=options.trust)
    found = trained.evaluate(loaded, points=options.points, seed=options.seed)
    figures = {"run": str(run.path), **found}
    width = max(map(len, figures))
    for name, value in figures.items():
        print(
            f"{name:<{width}}  {value:.6g}"
            if isinstance(value, float)
            else f"{name:<{width}}  {value}"
        )
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    if options.plot:
        from stde_cli.runs.reporting.plots import plot_history

        plot_history(run.read_metrics(), options.plot)
        print(f"plot: {options.plot}")
    return 0
