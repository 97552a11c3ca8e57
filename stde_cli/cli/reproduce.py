"""stde reproduce TABLE: a table of the paper, filled on this machine."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from stde_cli.cli import hydra_app
from stde_cli.cli.arguments import Parser
from stde_cli.config.composition import compose
from stde_cli.config.schema import ReproductionConfig, ScaleConfig
from stde_cli.config.validate import check_schema
from stde_cli.system.errors import UsageError
from stde_cli.system.interrupts import Interrupts

if TYPE_CHECKING:
    from stde_cli.jobs.reproduction import Reproduction

_EPILOG = """\
stde reproduce table1                         ten minutes on two cores
stde reproduce table3 scale=cpu               about an hour
stde reproduce table6 scale=paper --dry-run   what it would take on this machine

all keys: stde reproduce table1 --cfg job
"""


def parser() -> Parser:
    parser = Parser("reproduce", "Fill a table of the paper, and print it beside what it says.")
    parser.usage = "stde reproduce TABLE [key=value ...] [--dry-run] [--launcher NAME]"
    parser.epilog = _EPILOG
    parser.add_argument("table", metavar="TABLE", help="table1 to table6, table10 to 12, figure5")
    parser.add_argument(
        "--dry-run", action="store_true", help="list the cells, with the time and memory expected"
    )
    parser.add_argument(
        "--launcher", metavar="NAME", help="hand the cells to a launcher of Hydra's: joblib, ..."
    )
    return parser


def main(arguments: list[str]) -> int:
    if {"-h", "--help"} & set(arguments):
        parser().print_help()
        return 0
    table, launcher, overrides = _read(arguments)
    if launcher is None:
        return hydra_app.run("reproduce", [*overrides, f"table={table}"], task)
    return _launched(table, launcher, overrides)


def task(config: DictConfig) -> None:
    """Fill the cells that are empty, or the one that a launcher asks for; print the table."""
    from stde_cli.jobs import reproduction

    what = _reproduction(config)
    by_launcher = hydra_app.in_sweep(HydraConfig.get())
    try:
        if config.dry_run:
            what.directory.check()
            reproduction.show_expected(what)
            return
        with what.directory.kept(), Interrupts() as interrupts:
            reproduction.fill(what, interrupts, only=config.reproduce.cell)
        if not by_launcher:
            reproduction.show(what)
            what.raise_failures()
    except OSError as error:
        where = error.filename or what.path
        raise UsageError("reproduce.dir", where, error.strerror or str(error)) from error


def _read(arguments: list[str]) -> tuple[str, str | None, list[str]]:
    """TABLE, the launcher, and what is left for Hydra."""
    left: list[str] = []
    table = launcher = None
    words = iter(arguments)
    for word in words:
        if word == "--launcher" or word.startswith("--launcher="):
            launcher = word.partition("=")[2] or next(words, "")
            if not launcher:
                raise UsageError("--launcher", None, "lacks its value", "joblib, for instance")
        elif word == "--dry-run":
            left.append("dry_run=true")
        elif table is None and not word.startswith("-") and "=" not in word:
            table = word
        else:
            left.append(word)
    if table is None:
        from stde_cli.jobs.reproduction.tables import names

        raise UsageError("TABLE", None, "is missing", f"choose from {', '.join(names())}")
    return table, launcher, left


def _launched(table: str, launcher: str, overrides: list[str]) -> int:
    """A job for each cell that is empty, by a launcher; then the table."""
    from stde_cli.jobs import reproduction

    config = compose("reproduce", [*overrides, f"table={table}"])
    what = _reproduction(config)
    with what.directory.kept():
        numbers = what.empty()
        if numbers:
            cells = f"reproduce.cell={','.join(map(str, numbers))}"
            place = f"hydra.sweep.dir={what.directory.path / 'sweep'}"
            arguments = ["-m", f"hydra/launcher={launcher}", place, cells, f"table={table}"]
            hydra_app.run("reproduce", [*overrides, *arguments], task)
        reproduction.show(what)
        what.raise_failures()
    return 0


def _reproduction(config: DictConfig) -> "Reproduction":
    """What is asked for, checked."""
    from stde_cli.jobs.reproduction import Reproduction, Scale, load

    settings: Any = OmegaConf.to_container(config, resolve=True)
    check_schema(settings, ReproductionConfig)
    table = load(config.table)
    for key, names in (("scale", config.scales), ("recipe", config.recipes)):
        if config[key] not in names:
            raise UsageError(key, config[key], f"must be one of {', '.join(names)}")
    check_schema(settings["scales"][config.scale], ScaleConfig, f"scales.{config.scale}.")
    given, scale = settings["reproduce"], settings["scales"][config.scale]
    columns = getattr(table.columns, config.scale, None)
    if columns is None:
        raise UsageError("scale", config.scale, "no table has columns for it")
    recipe = [] if config.recipe == "published" else [config.recipe]
    return Reproduction(
        config.table,
        table,
        Scale(
            name=config.scale,
            recipe=config.recipe,
            steps=given["steps"] or table.in_steps.get(config.scale) or scale["steps"],
            seeds=given["seeds"] or scale["seeds"],
            cell_seconds=given["cell_seconds"] or scale["cell_seconds"],
            columns=_chosen(given["columns"], columns, table.columns.variants),
            rows=_rows(given["rows"], [row.name for row in table.rows]),
            bench=(*scale["bench"],),
            solve=(*scale["solve"],),
            recipe_overrides=(*settings["recipes"][config.recipe],),
            overrides=(*given["overrides"],),
        ),
        Path(given["dir"] or "-".join([f"reproductions/{config.scale}", *recipe])),
    )


def _chosen(given: list[Any] | None, all_: Sequence[Any], known: Any) -> tuple[Any, ...]:
    """The columns asked for: those of the scale, numbers of any size, or names that are known."""
    for column in given or ():
        whole = type(column) is int and column > 0
        if column not in known if known else not whole:
            mend = f"choose from {', '.join(known)}" if known else "give whole numbers"
            raise UsageError("reproduce.columns", column, "is no column of this table", mend)
    return tuple(given or all_)


def _rows(given: list[str] | None, known: list[str]) -> tuple[str, ...] | None:
    for name in given or ():
        if name not in known:
            mend = f"choose from {', '.join(known)}"
            raise UsageError("reproduce.rows", name, "is no row of this table", mend)
    return tuple(given) if given else None
