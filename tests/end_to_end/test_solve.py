import json
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import yaml

from tests.end_to_end.command import AS_FOR_A_USER, SMALL, environment, stde, stde_anew

SUMMARY_KEYS = """
    status command pde solution dim seed steps loss rel_l1_error rel_l2_error trivial_rel_l2_error
    residual_rms steps_per_second compile_seconds wall_seconds peak_memory_mb parameters device
    versions
    """.split()
CLOCK = {"seconds", "steps_per_second", "peak_memory_mb"}


def read_metrics(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def read_arrays(run: Path) -> dict[str, np.ndarray]:
    """Every array of a run's newest checkpoint, by orbax alone."""
    import orbax.checkpoint as ocp

    step = max(int(p.name) for p in (run / "checkpoints").iterdir() if p.name.isdigit())
    with jax.enable_x64(True), ocp.StandardCheckpointer() as checkpointer:
        arrays = checkpointer.restore((run / "checkpoints" / str(step) / "default").absolute())
        return {name: np.asarray(array) for name, array in arrays.items()}


@pytest.fixture(scope="module")
def other_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run of another seed, without metrics, in a directory with a space; and what it said."""
    where = tmp_path_factory.mktemp("other")
    options = ("seed=1", "tracker=none", "run_dir=a run")
    return where / "a run", stde("solve", *SMALL, *options, cwd=where).check().out


def test_a_run_directory_is_complete(finished_run: Path) -> None:
    summary = json.loads((finished_run / "summary.json").read_text())
    assert set(SUMMARY_KEYS) <= set(summary)
    assert summary["status"] == "finished"
    assert (summary["pde"], summary["solution"]) == ("allen_cahn", "two_body")
    assert (summary["dim"], summary["steps"], summary["seed"]) == (6, 40, 0)
    assert all(summary[key] is not None for key in SUMMARY_KEYS)

    config = yaml.safe_load((finished_run / "config.yaml").read_text())
    assert config["dim"] == 6
    assert "${" not in (finished_run / "config.yaml").read_text(), "unresolved interpolation"

    rows = read_metrics(finished_run)
    assert [row["step"] for row in rows] == list(range(1, 41))
    assert all({"loss", "learning_rate", "steps_per_second"} <= set(row) for row in rows)
    evaluated = [row["step"] for row in rows if "rel_l2_error" in row]
    assert evaluated == list(range(4, 40, 4))
    assert (finished_run / "checkpoints" / "40").is_dir()
    assert "step 4/40" in (finished_run / "console.log").read_text()


def test_the_summary_table_names_the_next_commands(other_run: tuple[Path, str]) -> None:
    _, out = other_run
    for command in ("evaluate", "predict", "resume"):
        assert f"stde {command} 'a run'" in out
    assert "trivial baseline" in out


def test_the_same_command_gives_the_same_numbers(tmp_path: Path, finished_run: Path) -> None:
    stde("solve", *SMALL, "run_dir=again", cwd=tmp_path).check()
    first, second = read_arrays(finished_run), read_arrays(tmp_path / "again")
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])
    rows = [
        [{k: v for k, v in row.items() if k not in CLOCK} for row in read_metrics(run)]
        for run in (finished_run, tmp_path / "again")
    ]
    assert rows[0] == rows[1]


def test_another_seed_gives_another_run(finished_run: Path, other_run: tuple[Path, str]) -> None:
    run, _ = other_run
    name = "ansatz.network.first.weight"
    assert not np.array_equal(read_arrays(finished_run)[name], read_arrays(run)[name])


def test_float64_stays_float64(tmp_path: Path) -> None:
    stde("solve", *SMALL, "runtime.precision=float64", "run_dir=run", cwd=tmp_path).check()
    arrays = read_arrays(tmp_path / "run")
    assert arrays["ansatz.network.first.weight"].dtype == np.float64


def test_tracker_none_keeps_no_metrics(other_run: tuple[Path, str]) -> None:
    run, _ = other_run
    assert not (run / "metrics.jsonl").exists()
    assert json.loads((run / "summary.json").read_text())["status"] == "finished"


@pytest.mark.slow
def test_quickstart_comes_to_five_digits(tmp_path: Path) -> None:
    env = environment(**AS_FOR_A_USER)
    stde_anew("solve", "+experiment=quickstart", "run_dir=run", cwd=tmp_path, env=env).check()
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["rel_l2_error"] < 1e-5


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("main(['--help'])", {"jax", "hydra", "numpy", "rich", "wandb", "matplotlib", "orbax"}),
        (
            "main(['solve', 'dim=4', 'steps=2', 'estimator.batch=2', 'evaluation.points=10'])",
            {"wandb", "matplotlib"},
        ),
    ],
)
def test_nothing_heavy_is_imported_before_it_is_needed(
    code: str, absent: set[str], tmp_path: Path
) -> None:
    script = (
        "import sys; from stde_cli.cli.main import main; "
        f"assert {code} == 0; print('IMPORTED', sorted({absent} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True)
    assert "IMPORTED []" in done.stdout, done.stdout + done.stderr


def test_without_an_exact_solution_the_residual_is_reported(tmp_path: Path) -> None:
    """Laplacian(u) = 1 on a ball, of the user's own making."""
    (tmp_path / "torsion.py").write_text(
        "import jax.numpy as jnp\n"
        "from stde_cli.problem.constraints import VanishOnSphere\n"
        "from stde_cli.problem.domains import Ball\n"
        "from stde_cli.problem.operators import Laplacian\n"
        "from stde_cli.problem.pdes import AbstractPDE\n"
        "class Torsion(AbstractPDE):\n"
        "    domain: Ball\n"
        "    constraint: VanishOnSphere\n"
        "    solution: None\n"
        "    operators = {'laplacian': Laplacian()}\n"
        "    def __init__(self, dim, *, key):\n"
        "        self.domain, self.constraint = Ball(dim), VanishOnSphere(1.0)\n"
        "        self.solution = None\n"
        "    def lhs(self, x, u, derivatives):\n"
        "        return derivatives['laplacian']\n"
        "    def source(self, x):\n"
        "        return jnp.ones(())\n"
    )
    (tmp_path / "mine" / "pde").mkdir(parents=True)
    (tmp_path / "mine" / "pde" / "torsion.yaml").write_text("_target_: torsion.Torsion\n")
    arguments = ("--config-dir", "mine", "pde=torsion", *SMALL, "network.depth=4", "run_dir=run")
    out = stde("solve", *arguments, cwd=tmp_path).check().out
    assert "No exact solution is known" in out
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["rel_l2_error"] is None
    assert summary["solution"] is None
    # The solution is -(1 - |x|^2) / 2 dim, the trivial one: training starts at it.
    assert summary["residual_rms"] < 0.2
    refused = stde("evaluate", "run", "--points", "100", cwd=tmp_path)
    assert refused.status == 2
    assert "names torsion.Torsion" in refused.err
    assert "add --trust" in refused.err
    stde("evaluate", "run", "--points", "100", "--trust", cwd=tmp_path).check()
