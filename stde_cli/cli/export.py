"""stde export RUN --out FILE: the trained field, for programs without this package."""

from pathlib import Path

from stde_cli.cli.arguments import Parser, add_trust, new_file, told_as
from stde_cli.runs.directory import RunDirectory


def parser() -> Parser:
    parser = Parser("export", "u with its parameters, in one file that JAX alone loads and calls.")
    parser.add_argument("run", metavar="RUN", type=Path, help="a run directory")
    add_trust(parser)
    parser.add_argument(
        "--out", type=new_file, required=True, metavar="FILE", help="written by jax.export"
    )
    return parser


def main(arguments: list[str]) -> int:
    options = parser().parse_args(arguments)
    run = RunDirectory.open(options.run)

    from stde_cli.jobs import trained
    from stde_cli.jobs.export import PLATFORMS, export

    loaded = trained.load(run, trust=options.trust)
    with told_as(out="--out"):
        size = export(loaded, options.out)
    dim, platforms = loaded.built.problem.pde.domain.dim, " and ".join(PLATFORMS)
    shape = f"points of shape (points, {dim})"
    print(f"{options.out}: u at {shape}, {size / 1e6:.2f} MB, for {platforms}")
    return 0
