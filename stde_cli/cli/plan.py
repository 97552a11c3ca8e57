"""stde plan EXPR: how the derivatives in an expression are computed, at what cost and accuracy."""

import json
import re

from stde_cli.cli.arguments import Parser, told_as


def parser() -> Parser:
    parser = Parser("plan", "How the derivatives in an expression are computed, and at what cost.")
    parser.add_argument(
        "expression", metavar="EXPR", help="in u and its derivatives: 'u_ty + u_xxxy - u_xx'"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    parser.add_argument(
        "--families",
        metavar="LIST",
        help="of positions, polarisation, multivariate: what the plan may use; all by default",
    )
    parser.add_argument(
        "--coordinates",
        metavar="LIST",
        help="t,x,y: names of coordinates in order; by default those in the text, t first",
    )
    return parser


def main(arguments: list[str]) -> int:
    # What begins with a minus is an expression too: a space before it tells argparse so.
    signed = (f" {a}" if re.match("-[^-h]", a) else a for a in arguments)
    options = parser().parse_args(list(signed))

    from stde_cli.jobs.plans.report import plan

    coordinates, families = (
        None if given is None else [name.strip() for name in given.split(",")]
        for given in (options.coordinates, options.families)
    )
    with told_as(expression="EXPR", families="--families"):
        found = plan(options.expression, coordinates=coordinates, families=families)
    if options.json:
        print(json.dumps(found, allow_nan=False))
    else:
        print(found)
    return 0
