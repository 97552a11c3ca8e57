"""stde report [RUN...]: the runs there are, grouped over their seeds."""

from pathlib import Path

from stde_cli.cli.arguments import Parser, add_trust, new_file, whole
from stde_cli.system.errors import UsageError

_PLACES = ("runs", "multirun")
_BY_SUFFIX = {".md": "markdown", ".csv": "csv", ".tex": "latex", ".html": "html"}

_WIDEST = 10_000


def parser() -> Parser:
    parser = Parser("report", "A table of runs, and a page with curves and pictures of them.")
    parser.add_argument(
        "runs",
        metavar="RUN",
        nargs="*",
        type=Path,
        help="run directories, sweeps, or directories of runs; runs/ and multirun/ by default",
    )
    parser.add_argument(
        "--format", choices=tuple(_BY_SUFFIX.values()), help="how the table is written"
    )
    parser.add_argument(
        "--out", type=new_file, metavar="FILE", help="write the table there (.md, .csv, .tex)"
    )
    parser.add_argument(
        "--html", type=new_file, metavar="FILE", help="write a page with curves and pictures there"
    )
    parser.add_argument(
        "--solutions",
        type=whole,
        default=4,
        metavar="N",
        help="most runs whose solution is drawn on the page (4)",
    )
    add_trust(parser)
    return parser


def main(arguments: list[str]) -> int:
    options = parser().parse_args(arguments)
    format: str | None = options.format
    if options.out and not format:
        if options.out.suffix not in _BY_SUFFIX:
            mend = f"name it {', '.join(_BY_SUFFIX)}, or give --format"
            raise UsageError("--out", options.out, "no format is known by this name", mend)
        format = _BY_SUFFIX[options.out.suffix]
    places = options.runs or [place for name in _PLACES if (place := Path(name)).is_dir()]
    if not places:
        raise UsageError("RUN", None, f"there is no {' and no '.join(_PLACES)} here", "name one")

    from stde_cli.jobs.reports import groups, measurements, studies
    from stde_cli.jobs.tuning.outcome import table as table_of
    from stde_cli.runs.reporting.tables import shown, written
    from stde_cli.runs.tracking.screen import screen

    found, measured = groups.gather(places), measurements.gather(places)
    tuned = studies.gather(places)
    if options.html:
        from stde_cli.jobs.reports.page import write_page

        title = f"Runs in {', '.join(map(str, places))}"
        page, solutions = options.html, options.solutions
        write_page(
            found,
            page,
            title=title,
            measured=measured,
            tuned=tuned,
            most_solutions=solutions,
            trust=options.trust,
        )
        print(f"page: {page}")
        if not format:
            return 0
    tables = [*([groups.table(found)] if found else []), *(each.table for each in measured)]
    tables += [table_of(outcome) for outcome in tuned.values() if outcome.best]
    if format:
        text = "\n".join(written(table, format) for table in tables)
        if options.out:
            options.out.write_text(text)
            print(f"table: {options.out}")
        else:
            print(text, end="")
    else:
        console = screen()
        # As in `stde runs`: what is wider than the screen runs on.
        console.width = _WIDEST
        for table in tables:
            console.print(shown(table))
    return 0
