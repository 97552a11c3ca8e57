"""Twelve rooms, each importing only from rooms below it; within a room, files that do the same."""

import ast
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import stde_cli

PACKAGE = Path(stde_cli.__file__).parent

# From the bottom up; in each room its files and folders, from the bottom up.
ROOMS = {
    "system": "errors files interrupts slurm resources environment ranges types prng",
    "autodiff": "directions restriction taylor",
    "expressions": """layout symmetric nodes faults syntax evaluation algebra scope reader
        operators parser linear gathering field""",
    "problem": "domains operators constraints tabulated pdes parabolic references",
    "estimators": "base reading standard_error exact stde published",
    "ansatz": """partners factors windows ridge periodic networks guess random_features
        hard_constraint""",
    "objective": "sampled_residual losses collocation weighting metrics at_point held_out",
    "runs": """cache summary attempts directory sweep results submitted listing slices points data
        tracking reporting""",
    "training": """schedules least_squares levenberg_marquardt linearisation start residuals
        damped_steps
        gauss_newton state step compilation loop
        checkpoint events initialisation""",
    "config": """schema files hydra_errors search_space composition kept earlier targets validate
        variants solutions build saved sweeps""",
    "jobs": """estimate trained reference benchmarks reproduction tuning reports preparation race
        solve requeue launch export run plans status""",
    "cli": """main arguments sweeps submission tuning hydra_app job solve resume runs status report
        upload evaluate predict export reference plan bench reproduce list doctor completion""",
}
# The package's face: names that all may use, or that none of the rooms may.
VERSION, FACE = "_version", ("__init__", "__main__", "pdes")

FILES = sorted(PACKAGE.rglob("*.py"))


def path_of(module: str) -> list[str]:
    """The parts of a module's name below the package, its last one a file or a folder."""
    return module.split(".")[1:]


def imports(file: Path) -> Iterator[str]:
    """Modules of the package that a file imports, at the top or within functions."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("stde_cli"):
            for alias in node.names:
                module = f"{node.module}.{alias.name}"
                place = PACKAGE.joinpath(*path_of(module))
                exists = place.with_suffix(".py").exists() or place.is_dir()
                yield module if exists else str(node.module)
        elif isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.startswith("stde_cli"))


@pytest.mark.parametrize("file", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_one_way(file: Path) -> None:
    room, *within = (part.removesuffix(".py") for part in file.relative_to(PACKAGE).parts)
    if room in (VERSION, *FACE):
        return
    assert room in ROOMS, f"{room} is no room: give it its place in the order"
    rooms, files = list(ROOMS), ROOMS[room].split()
    assert within[0] in ("__init__", *files), f"give {within[0]} its place in {room}"
    for module in imports(file):
        other, *inside = path_of(module) or [VERSION]
        if other == VERSION:
            continue
        assert other in rooms, f"{room} imports the package's face, {other}"
        assert rooms.index(other) <= rooms.index(room), f"{room} imports {other}, above it"
        if other == room and inside and within[0] != "__init__":
            order = files.index(inside[0]), files.index(within[0])
            assert order[0] <= order[1], f"{within[0]} imports {inside[0]}, above it in {room}"


def test_every_room_and_file_in_the_order_is_there() -> None:
    for room, files in ROOMS.items():
        assert (PACKAGE / room / "__init__.py").read_text().startswith('"""'), room
        for name in files.split():
            place = PACKAGE / room / name
            assert place.is_dir() or place.with_suffix(".py").exists(), place


def test_hydra_is_seen_by_config_and_cli_alone() -> None:
    for file in FILES:
        tree = ast.walk(ast.parse(file.read_text()))
        names = [n.module or "" for n in tree if isinstance(n, ast.ImportFrom)]
        if any(name.split(".")[0] == "hydra" for name in names):
            assert file.relative_to(PACKAGE).parts[0] in ("config", "cli"), file


def test_only_jets_sees_the_experimental_module() -> None:
    users = [f.name for f in FILES if "jax.experimental import jet" in f.read_text()]
    assert users == ["jets.py"]


def test_a_name_of_the_face_is_imported_when_it_is_asked_for() -> None:
    for name in dir(stde_cli):
        assert getattr(stde_cli, name) is not None


def test_the_name_that_older_files_know_still_works() -> None:
    assert import_module("stde_cli.pdes") is import_module("stde_cli.problem.pdes")
