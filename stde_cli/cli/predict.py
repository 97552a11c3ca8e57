"""stde predict RUN --points FILE --out FILE: u and its derivatives at the user's points.

With --slice, at those of a grid.
"""

import re
import sys
from pathlib import Path

from stde_cli.cli.arguments import Parser, add_trust, told_as
from stde_cli.runs.directory import RunDirectory
from stde_cli.system.errors import Interrupted, UsageError
from stde_cli.system.interrupts import Interrupts


def parser() -> Parser:
    parser = Parser("predict", "u, and on request its derivatives, at your points.")
    parser.add_argument("run", metavar="RUN", type=Path, help="a run directory")
    add_trust(parser)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument(
        "--points",
        type=Path,
        metavar="FILE",
        help=".npy of shape (count, dim), or .csv with a point a line",
    )
    where.add_argument(
        "--slice",
        metavar="LIST",
        help="a grid: x1=-1:1:200,t=0.5 (low:high:count, or a value; the others in the middle)",
    )
    parser.add_argument(
        "--derivatives",
        default="",
        metavar="LIST",
        help="comma-separated: laplacian, u_x3, u_x1x2 (counted from 1), u_txx",
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        help=".npy of shape (count, columns), or .csv with a header; of a slice .npz",
    )
    return parser


def main(arguments: list[str]) -> int:
    options = parser().parse_args(arguments)
    run = RunDirectory.open(options.run)

    from stde_cli.jobs import trained
    from stde_cli.runs.points import PointsFile, open_grid, open_values
    from stde_cli.runs.slices import Slice

    loaded = trained.load(run, trust=options.trust)
    pde = loaded.built.problem.pde
    layout = pde.layout
    names = [
        name.strip() for name in re.split(r",(?![^(]*\))", options.derivatives) if name.strip()
    ]
    with told_as(derivatives="--derivatives"):
        operators = trained.parse_derivatives(names, layout)
    grid = None if options.slice is None else Slice.parse(options.slice, layout, pde.domain)
    points = grid or PointsFile(options.points, layout.dim)
    predictor = trained.Predictor(loaded, operators, points.count)
    if grid:
        values = open_grid(options.out, grid, predictor.columns)
    else:
        values = open_values(options.out, points.count, predictor.columns)
    with Interrupts() as interrupts:
        try:
            for batch in points.batches(predictor.batch):
                values.write(predictor(batch))
                if interrupts.received:
                    name = interrupts.received.name
                    raise Interrupted(f"stopped by {name}; nothing written", interrupts.received)
            values.close()
        except BaseException as error:
            values.abandon()
            if isinstance(error, UsageError) and error.where == "points":
                where = "--slice" if grid else "--points"
                value = options.slice if grid else options.points
                raise UsageError(where, value, error.why) from error
            if isinstance(error, OSError):
                why = f"cannot be written ({error.strerror})"
                raise UsageError("--out", options.out, why) from error
            raise
    if predictor.warning:
        print(f"stde: warning: {predictor.warning}", file=sys.stderr)
    columns = ", ".join(predictor.columns)
    print(f"{options.out}: {points.count:,} points, columns {columns}, from step {loaded.step}")
    return 0
