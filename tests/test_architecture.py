"""Each room imports only from rooms above it."""

import ast
from pathlib import Path

import pytest

import stde_cli

PACKAGE = Path(stde_cli.__file__).parent
ROOMS = """
    _version __init__ errors interrupts _types prng directions restriction taylor expressions
    domains operators constraints windows guess pdes networks ansatz estimators losses least_squares
    start collocation weighting metrics environment resources runs tracking training reporting
    config points trained session benchmarks cli __main__
    """.split()


def room_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def imports(file: Path) -> set[str]:
    """Modules of the package that a file imports, at the top or within functions."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("stde_cli"):
            for alias in node.names:
                module = f"{node.module}.{alias.name}"
                is_module = (PACKAGE.parent / Path(*module.split("."))).with_suffix(".py").exists()
                is_room = (PACKAGE.parent / Path(*module.split("."))).is_dir()
                found.add(module if is_module or is_room else node.module)
        elif isinstance(node, ast.Import):
            found |= {a.name for a in node.names if a.name.startswith("stde_cli")}
    return found


FILES = sorted(p for p in PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_one_way(file: Path) -> None:
    own = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
    assert own in ROOMS, f"{own} is no room: give it its place in the order"
    place = {room: k for k, room in enumerate(ROOMS)}
    for module in imports(file):
        room = room_of(module)
        assert place[room] <= place[own], f"{own} imports {room}, which is below it"


def test_hydra_is_seen_by_config_and_cli_alone() -> None:
    for file in FILES:
        tree = ast.walk(ast.parse(file.read_text()))
        names = [n.module or "" for n in tree if isinstance(n, ast.ImportFrom)]
        if any(name.split(".")[0] == "hydra" for name in names):
            assert file.relative_to(PACKAGE).parts[0] in ("config", "cli"), file


def test_only_jets_sees_the_experimental_module() -> None:
    users = [f.name for f in FILES if "jax.experimental import jet" in f.read_text()]
    assert users == ["jets.py"]
