"""stde evaluate RUN: errors and residual on fresh points."""

import argparse
import json
from pathlib import Path

from stde_cli.cli.arguments import Parser, positive, seed
from stde_cli.runs.directory import RunDirectory


def parser() -> Parser:
    parser = Parser(
        "evaluate",
        "Errors against the exact solution, and the residual, on points that training and its "
        "own tests never saw.",
    )
    parser.add_argument("run", metavar="RUN", type=Path, help="a run directory")
    parser.add_argument("--points", type=positive, default=20_000, metavar="N", help="how many")
    parser.add_argument("--seed", type=seed, default=1, metavar="S", help="of the points")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="draw loss and errors over the steps (.png, .pdf)"
    )
    return parser


def main(arguments: list[str]) -> int:
    options = parser().parse_args(arguments)
    run = RunDirectory.open(options.run)
    figures = _figures(run, options)
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


def _figures(run: RunDirectory, options: argparse.Namespace) -> dict[str, float | int | str]:
    import jax

    from stde_cli.config.build import keys_of
    from stde_cli.estimators import mean_and_standard_error
    from stde_cli.jobs import trained
    from stde_cli.objective.metrics import Evaluator

    loaded = trained.load(run)
    problem = loaded.built.problem
    evaluator = Evaluator(problem.pde, problem.estimator, problem.points)
    fresh = keys_of(options.seed, loaded.config.runtime.generator).fresh
    points_key, residual_key, point_key, draws_key = jax.random.split(fresh, 4)
    figures: dict[str, float | int | str] = {
        "run": str(run.path),
        "step": loaded.step,
        "points": options.points,
    }
    errors = evaluator.errors(loaded.ansatz, options.points, key=points_key)
    if errors:
        figures |= errors._asdict()
    residual_rms = evaluator.residual_rms(loaded.ansatz, options.points, key=residual_key)
    figures["residual_rms"] = residual_rms
    x = problem.pde.domain.sample_interior(1, key=point_key)[0]
    for name, operator in problem.pde.operators.items():
        draws = 64
        mean, error = mean_and_standard_error(
            problem.estimator, loaded.ansatz, operator, x, draws=draws, key=draws_key
        )
        figures[f"{name}_at_a_point"] = float(mean)
        figures[f"{name}_standard_error_of_one_draw"] = float(error) * draws**0.5
    return figures
