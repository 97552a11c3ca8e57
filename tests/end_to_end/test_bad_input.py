"""Every wrong value: status 2, one line that names key, value and mend, nothing half-written."""

import json
import os
import resource
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest

from stde_cli.jobs.benchmarks import matrix
from stde_cli.runs.directory import RunDirectory
from tests.end_to_end.command import (
    SMALL,
    Outcome,
    environment,
    in_process,
    stde,
    stde_anew,
    stde_interrupted,
)
from tests.end_to_end.test_solve import read_arrays
from tests.jobs.benchmarks.here import Here as InThisProcess

# What is typed after `stde solve`, and what the line must contain.
SOLVE = [
    ("pde=alen_cahn", ["pde=alen_cahn", "did you mean allen_cahn"]),
    ("pde/solution=too_body", ["pde/solution=too_body", "did you mean two_body"]),
    ("estimator=stdee", ["estimator=stdee", "did you mean stde"]),
    ("estimator/sampler=radmacher", ["estimator/sampler=radmacher", "rademacher"]),
    ("network=mpl", ["network=mpl", "did you mean mlp"]),
    ("optimizer=adan", ["optimizer=adan", "did you mean adam"]),
    ("hydra/launcher=slrum", ["hydra/launcher=slrum", "slurm"]),
    ("loss=3", ["loss=3", "no such choice", "gradient_enhanced"]),
    ("estimator/sampler=null", ["estimator/sampler=null", "no such choice", "stratified"]),
    ("network.widht=8", ["network.widht", "did you mean network.width"]),
    ("dmi=8", ["dmi", "did you mean dim"]),
    ("+dims=8", ["dims=8", "no such key"]),
    ("+network.wide=8", ["network.wide=8", "did you mean width"]),
    ("dim", ["dim", "key=value"]),
    ("dim=", ["dim", "integer"]),
    ("dim=ten", ["dim=ten", "integer"]),
    ("dim=0", ["dim=0", "1 or more"]),
    ("dim=-3", ["dim=-3", "1 or more"]),
    ("dim=2.5", ["dim=2.5", "integer"]),
    ("dim=4294967296", ["dim=4294967296", "exceed"]),
    ("dim=1 estimator.batch=1", ["dim=1", "two_body needs 2"]),
    ("pde=kdv_1d estimator=hte", ["estimator=hte", "Combination is no Laplacian"]),
    ("estimator=sdgd_backward_pytorch dim=6", ["=sdgd_backward_pytorch", "stde bench bench."]),
    ("pde=biharmonic estimator=tangent_prop", ["estimator=tangent_prop", "mixed derivatives"]),
    (
        "dim=4 network=weight_sharing network.block_size=2 estimator=tangent_prop",
        ["estimator=tangent_prop", "network=mlp", "WeightSharing"],
    ),
    ("network.of=[]", ["network.of=[]", "must hold 1 or more"]),
    ("network.of=x1", ["network.of=x1", "must be a list"]),
    ("dim=6 network.of=[x1,2,x2]", ["network.of[1]=2", "a constant", "leave it out"]),
    ("dim=1 pde/solution=three_body estimator.batch=1", ["dim=1", "three_body needs 3"]),
    ("dim=8 estimator.batch=9", ["estimator.batch=9", "dim=8", "estimator.batch=8"]),
    ("pde=kdv_1d estimator.batch=16", ["estimator.batch=16", "dim=2"]),
    ("pde=kdv_1d dim=3", ["dim=3", "t, x are 2", "leave dim out"]),
    ("dim=8 estimator/sampler=gaussian estimator.batch=9", ["estimator.batch=9", "dim=8"]),
    (
        "network=additive_mlp network.window=20 network.degree=12",
        ["network.window=20", "degree to 3"],
    ),
    ("start=least_squares start.window=9 start.degree=12", ["start.window=9", "293,930 terms"]),
    ("run_dir=''", ["run_dir=''", "not empty"]),
    ("runtime.compilation_cache=/proc/nowhere", ["/proc/nowhere", "cannot be written to"]),
    ("hydra.output_subdir=x", ["hydra.output_subdir=x", "run_dir="]),
    ("-m pde=glob(z*)", ["-m", "no job"]),
    ("runtime.check_memory=-1", ["runtime.check_memory=-1", "true or false"]),
    ("steps=${network.nope}", ["steps=${network.nope}", "not found"]),
    ("estimator.batch=0", ["estimator.batch=0", "1 or more"]),
    ("dim=20 network=weight_sharing network.block_size=6", ["network.block_size=6", "5 does"]),
    ("steps=0", ["steps=0", "1 or more"]),
    ("seed=-1", ["seed=-1", "0 or more"]),
    ("train.points=0", ["train.points=0", "1 or more"]),
    ("network.depth=1", ["network.depth=1", "2 or more"]),
    ("network.activation=relu", ["network.activation=relu", "tanh"]),
    ("optimizer.learning_rate=-1", ["optimizer.learning_rate=-1", "above 0"]),
    ("optimizer.learning_rate=nan", ["optimizer.learning_rate=nan", "finite"]),
    ("pde.radius=0", ["pde.radius=0", "above 0"]),
    ("runtime.precision=float16", ["runtime.precision=float16", "float32, float64"]),
    ("runtime.generator=mt19937", ["runtime.generator=mt19937", "rbg"]),
    ("resume=yes", ["resume", "never, auto"]),
    ("reference=auto", ["pde", "says u at no time"]),
    ("schedule=piecewise +schedule.factor=3", ["schedule.factor=3", "did you mean factors"]),
    ("pde._target_=nowhere.Poisson", ["pde._target_=nowhere.Poisson", "cannot be imported"]),
    ("dim=20000000 train.points=100000", ["dim=20000000", "GB", "train.points"]),
    ("run_dir=/proc/nowhere", ["run_dir=/proc/nowhere", "cannot be written"]),
    ("--config-dir nowhere", ["nowhere"]),
    ("estimator.batch=null", ["estimator.batch=null", "whole number"]),
    ("loss=gradient_enhanced loss.weight=abc", ["loss.weight=abc", "a number"]),
    ("loss=gradient_enhanced loss.weight=-1", ["loss.weight=-1", "0 or more"]),
    ("loss=gradient_enhanced loss.components=0", ["loss.components=0", "1 or more"]),
    ("schedule=exponential schedule.decay=null", ["schedule.decay=null", "a number"]),
    ("network.activation=null", ["network.activation=null", "tanh"]),
    ("pde=kdv_1d pde.parameters.c=nan", ["pde.parameters.c=nan", "finite"]),
    (
        "pde=burgers +pde.conditions=[{at:{x:boundary},residual:u}]",
        ["pde.conditions[0].at.x=boundary", "a periodic coordinate has none", "leave the cond"],
    ),
    ("pde=burgers pde.coordinates.x.periodic=[1,1]", ["x.periodic=[1, 1]", "is empty"]),
    ("pde=burgers pde.initial=x", ["pde.initial", "jumps by up to 2 from x = 1 to -1"]),
    ("pde=allen_cahn_1d pde.initial=x**2", ["pde.initial", "slope jumps", "hold: soft"]),
    ("pde=burgers start=random_features start.of=[x]", ["start.of[0]", "jumps by up to 2"]),
    (
        "pde=burgers +pde.coordinates.y={periodic:[0,1],count:9} start=least_squares "
        "pde.solution=null start.window=6 start.degree=6",
        ["start.window=6", "6 periodic coordinates and degree 6 has 8,989 terms", "degree to 4"],
    ),
    ("pde=heat dim=2 pde.solution={spektral:{}}", ["pde.solution=spektral", "{spectral: {}}"]),
    ("pde=heat dim=2 pde.solution={spectral:{error:0}}", ["spectral.error=0", "above 0"]),
    ("pde=heat dim=2 pde.solution={spectral:{}}", ["pde.solution.spectral", "t, x1, x2"]),
    ("pde=heat dim=2 pde.solution={file:no.npz}", ["pde.solution.file=no.npz", "no such file"]),
    ("start=random_features start.features=0", ["start.features=0", "1 or more"]),
    ("start=random_features start.seconds=-1", ["start.seconds=-1"]),
    (
        "pde=wave start=random_features start.of=symmetric",
        ["start.of=symmetric", "there are 0"],
    ),
    ("start=random_features start.of=symetric", ["start.of=symetric", "symmetric"]),
    (
        "pde=biharmonic dim=60 start=random_features",
        ["dim=60", "nested", "dim to 20"],
    ),
    ("start=random_features start.of=[]", ["start.of=[]", "must hold 1 or more"]),
    ("dim=6 start=random_features start.of=[x1,2]", ["start.of[1]=2", "a constant"]),
    (
        "start=random_features runtime.precision=float32",
        ["runtime.precision=float32", "start=random_features", "leave it out"],
    ),
    (
        "optimizer=gauss_newton runtime.precision=float32",
        ["runtime.precision=float32", "optimizer=gauss_newton", "leave it out"],
    ),
    (
        "optimizer=gauss_newton loss=residual_unbiased",
        ["loss=residual_unbiased", "no sum of squares", "take loss=residual"],
    ),
    (
        "optimizer=gauss_newton train.gradient_clip=1",
        ["train.gradient_clip=1", "along the gradient", "leave it out"],
    ),
    ("start=least_squares start.window=99", ["start.window=99", "exceed 20"]),
    ("start=least_squares start.directions=3", ["start.directions=3", "exceed 2"]),
    ("start.window=3", ["start.window", "start=least_squares has it"]),
    ("start=least_squares start.interactions=all", ["start.interactions=all", "found"]),
    ("start=least_squares start.interactions=[[]]", ["start.interactions[0]", "1 or more"]),
    (
        "start=least_squares start.interactions=[[1,2.5]]",
        ["start.interactions=[[1, 2.5]]", "whole number"],
    ),
    ("start=least_squares start.interactions=[[1,1001]]", ["interactions[0][1]=1001", "1 to 1000"]),
    (
        "start=least_squares start.interactions=[[1,x1]]",
        ["start.interactions[0]", "x1 occurs twice"],
    ),
    ("start=least_squares start.windo=3", ["start.windo", "did you mean start.window"]),
    ("network.depth=5000", ["network.depth=5000", "exceed 200"]),
    ("dim=1000000000", ["dim=1000000000", "400.0 GB"]),
    ("steps=99999999999", ["steps=99999999999", "exceed"]),
    ("seed=0,1", ["seed=0,1", "-m"]),
    ("experiment=quickstart", ["experiment", "+experiment=quickstart"]),
    ("--cfg job -m", ["--multirun and --cfg do not go together"]),
    ("--resolve", ["--resolve", "--cfg job"]),
    ("--nope", ["--nope"]),
    ("--config-name nowhere", ["nowhere"]),
    ("--info what", ["--info", "defaults-tree"]),
    ("network=[1,2]", ["network=[1,2]", "no such choice"]),
    ("train=3", ["train=3"]),
    ("train.points=null", ["train.points=null"]),
    ("dim=${foo}", ["dim=${foo}", "not found"]),
    ("dim=${oc.env:NOPE}", ["NOPE is not set"]),
    ("network.width=${", ["network.width", "key=value"]),
    ("checkpoint.minutes=inf", ["checkpoint.minutes=inf", "finite"]),
    ("pde=hjb_lqg pde.parameters.T=-1", ["pde.coordinates.t", "is empty"]),
    (
        "pde=parabolic_allen_cahn pde.value_at.t=0",
        ["pde.initial.gradient_weight=0.05", "no gradient", "a kink"],
    ),
    ("pde=hjb_lqg pde.parameters.T=0", ["pde.coordinates.t", "is empty"]),
    ("pde=hjb_lqg pde.value_at.t=2", ["pde.value_at.t=2", "outside the range"]),
    ("pde=hjb_lqg pde.value_at.x=[1,2]", ["pde.value_at.x", "the family has 100"]),
    ("pde=hjb_lqg pde.coordinates.x={diffusion:1,from:0}", ["x.from", "+pde.coordinates.x.from="]),
    ("pde=hjb_lqg pde.reference.when=3", ["pde.reference.when=3", "{name: number}"]),
    ("pde=hjb_lqg +pde.terminal.hold=firm", ["pde.terminal.hold=firm", "hard, soft"]),
    ("pde._target_=os.system", ["pde._target_=os.system", "AbstractPDE"]),
    ("pde._target_=stde_cli.Poison", ["did you mean stde_cli.Poisson"]),
    ("estimator.sampler._target_=stde_cli.MLP", ["estimator.sampler._target_", "AbstractSampler"]),
    ("pde.solution=null", ["pde.solution=null", "_target_"]),
    ("pde=biharmonic pde.parameters.c._target_=numpy.load", ["numpy.load", "stde_cli.parameters"]),
    ("pde=biharmonic pde.parameters.c.shape=-3", ["pde.parameters.c.shape=-3", "1 or more"]),
    ("pde=kdv_1d pde.residual=u_xxxxxxxxxxxxx", ["pde.residual: ", "order 13", "up to order 12"]),
]

# What is typed after `stde solve -m hydra/sweeper=optuna`.
TUNED = [
    ("dim=3", ["hydra/sweeper=optuna", "no key is given a range"]),
    ("network.activation=interval(0,1)", ["network.activation=interval(0,1)", "holds tanh"]),
    ("optimizer.learning_rate=interval(1,1)", ["learning_rate=interval(1,1)", "is empty"]),
    ("network.widht=1,2", ["network.widht", "did you mean network.width"]),
    ("dim=0,1", ["dim=0", "1 or more"]),
    ("dim=2,3 hydra.sweeper.n_trials=0", ["hydra.sweeper.n_trials=0", "1 or more"]),
    ("dim=2,3 hydra.sweeper.n_trails=9", ["did you mean hydra.sweeper.n_trials"]),
    ("dim=2,3 hydra.sweeper.objectives=[speed]", ["objectives=speed", "rel_l2_error"]),
    ("dim=2,3 hydra.sweeper.objectives=loss", ["write hydra.sweeper.objectives=[loss]"]),
    ("pde=hjb_lqg dim=2,3 hydra.sweeper.objectives=[rel_l2_error]", ["no exact solution", "loss"]),
    ("dim=2,3 hydra.sweeper.objectives=[rel_error_at_point]", ["take rel_l2_error"]),
    ("dim=2,3 hydra/sweeper/sampler=tpee", ["hydra/sweeper/sampler=tpee", "did you mean tpe"]),
    ("dim=2,3 hydra/sweeper/pruner=mean", ["hydra/sweeper/pruner=mean", "did you mean median"]),
    ("dim=2,3 hydra.sweeper.pruner._target_=optuna.samplers.TPESampler", ["is no BasePruner"]),
    ("dim=2,3 +hydra.sweeper.sampler.sed=3", ["sampler.sed=3", "did you mean seed"]),
    ("dim=2,3 hydra.sweeper.storage=/proc/nowhere/study", ["/proc/nowhere/study", "be written to"]),
]
SOLVE += [(f"-m hydra/sweeper=optuna {typed}", told) for typed, told in TUNED]
SOLVE += [
    ("hydra/sweeper=optuna", ["hydra/sweeper=optuna", "add -m"]),
    ("optimizer.learning_rate=interval(1e-4,1e-2)", ["add -m", "hydra/sweeper=optuna"]),
    ("-m optimizer.learning_rate=interval(1e-4,1e-2)", ["-m", "add hydra/sweeper=optuna"]),
]


class Here(Protocol):
    def __call__(self, *arguments: str) -> Outcome: ...


@pytest.fixture
def here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Here:
    """`stde` as typed in `tmp_path`."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: in_process(*arguments, capsys=capsys)


def check_refusal(outcome: Outcome, expected: list[str]) -> None:
    assert outcome.status == 2, outcome
    assert outcome.err.count("\n") == 1, outcome.err
    assert outcome.err.startswith("stde: ")
    for text in expected:
        assert text in outcome.err


@pytest.mark.parametrize(("typed", "expected"), SOLVE)
def test_solve_refuses(typed: str, expected: list[str], here: Here, tmp_path: Path) -> None:
    check_refusal(here("solve", *typed.split()), expected)
    assert not list(tmp_path.iterdir())


def test_tuning_names_the_extra_that_it_needs(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    typed = "solve -m hydra/sweeper=optuna dim=2,3"
    check_refusal(here(*typed.split()), ["hydra/sweeper=optuna", "pip install 'stde[tune]'"])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("slove", ["slove", "did you mean solve"]),
        ("bench bench.methods=[sdte]", ["bench.methods=sdte", "stde_unrestricted"]),
        ("bench bench.out=nowhere/rows.json dim=4 estimator.batch=2", ["bench.out", "nowhere"]),
        ("list pdes", ["group=pdes", "pde"]),
        ("bench bench.methods=[]", ["bench.methods=[]"]),
        ("bench bench.variants.mine=3", ["bench.variants.mine", "+bench.variants.mine=['"]),
        ("bench +bench.variants.mine=3", ["bench.variants.mine=3", "list of overrides"]),
        (
            "bench +bench.variants.mine=[3] bench.methods=[mine]",
            ["bench.variants.mine[0]=3", "key=value"],
        ),
        ("bench +bench.variants.mine=[a=3]", ["+bench.variants.mine=[a=3]", "not an override"]),
        ("bench bench.until=0", ["bench.until=0", "above 0"]),
        ("bench bench.reference=sdte", ["bench.reference=sdte", "choose from stde"]),
        ("bench bench.dims=[]", ["bench.dims=[]", "nothing to measure"]),
        ("bench bench.dims=[ten]", ["bench.dims[0]=ten", "integer"]),
        ("bench bench.dims=[100,0]", ["bench.dims[1]=0", "1 or more"]),
        ("bench bench.dims=100", ["bench.dims=100", "must be a list; write bench.dims=[100]"]),
        ("bench bench.dims=[4] estimator.batch=5", ["estimator.batch=5", "dim=4"]),
        ("bench bench.cell_seconds=0", ["bench.cell_seconds=0", "above 0"]),
        ("bench bench.format=xml", ["bench.format=xml", "markdown, csv"]),
        (
            "bench bench.until=0.1 bench.methods=[sdgd_backward_pytorch]",
            ["bench.until=0.1", "estimator=sdgd_backward_pytorch are timed"],
        ),
        ("bench bench.retry=[slow]", ["bench.retry=slow", "timeout, failed"]),
        ("bench bench.plot=nowhere/plot.svg", ["bench.plot=nowhere/plot.svg", "cannot be written"]),
        ("bench bench.plot=plot.xyz", ["bench.plot=plot.xyz", ".svg"]),
        ("bench bench.out=.", ["bench.out=.", "cannot be written"]),
        (
            "bench bench.until=0.1 pde=wave pde.solution=null estimator.batch=2",
            ["bench.until=0.1", "pde=wave", "give pde.solution"],
        ),
        ("reference", ["pde", "says u at no time", "pde.initial"]),
        ("reference pde=hjb_lqg reference=none", ["reference.method=none", "take auto"]),
        ("reference pde=hjb_lqg reference=best", ["reference=best", "picard"]),
        ("reference pde=hjb_lqg reference.method=best", ["reference.method=best", "picard"]),
        ("reference pde=hjb_lqg reference.error=0", ["reference.error=0", "above 0"]),
        ("reference pde=hjb_lqg reference.out=nowhere/u.json", ["reference.out=nowhere/u.json"]),
        ("reference pde=parabolic_allen_cahn dim=3 reference=radial", ["=radial", "distance"]),
        (
            "reference pde=parabolic_allen_cahn dim=3 reference=feynman_kac",
            ["=feynman_kac", "Cole"],
        ),
        ("reference pde=hjb_lqg dim=3 reference=picard", ["=picard", "the gradient of u"]),
        (
            "reference pde=hjb_lqg reference=radial reference.level=2",
            ["reference.level=2", "radial makes none"],
        ),
        ("reference pde=hjb_lqg reference.level=2", ["reference.level=2", "radial makes none"]),
        (
            "reference pde=semilinear_heat dim=100000 reference=picard reference.level=8",
            ["reference.level=8", "GB may be used"],
        ),
        ("evaluate somewhere --seed 99999999999", ["--seed", "4294967295"]),
        ("evaluate somewhere --points 99999999999", ["--points", "2147483647"]),
        ("evaluate somewhere --plot .", ["--plot", "not the name of a file"]),
        ("export somewhere --out .", ["--out", "not the name of a file"]),
        ("completion csh", ["csh"]),
        ("predict somewhere --out u.npy", ["--points", "--slice"]),
        ("predict somewhere --out u.npz --points p.npy --slice x1=0:1:9", ["not allowed with"]),
        ("report", ["RUN", "runs", "multirun"]),
        ("report nowhere", ["RUN=nowhere", "no such directory"]),
        ("report .", ["RUN=.", "no runs in this directory"]),
        ("report . --out table.doc", ["--out=table.doc", ".csv", "--format"]),
        ("report . --format word", ["--format", "word", "markdown"]),
        ("doctor now", ["now"]),
        ("reproduce", ["TABLE", "table1"]),
        ("reproduce table33", ["TABLE=table33", "table3"]),
        ("reproduce table1 scale=huge", ["scale=huge", "smoke, cpu, paper"]),
        ("reproduce table1 recipe=best", ["recipe=best", "published, accurate"]),
        ("reproduce table1 reproduce.rows=[x]", ["reproduce.rows=x", "forward_laplacian"]),
        ("reproduce table1 reproduce.columns=[x]", ["reproduce.columns=x", "whole numbers"]),
        ("reproduce table1 reproduce.columns=5", ["must be a list; write reproduce.columns=[5]"]),
        ("reproduce table1 scales.smoke.bench=3", ["must be a list; write scales.smoke.bench=[3]"]),
        ("reproduce table11 reproduce.columns=[9]", ["reproduce.columns=9", "h=256"]),
        ("reproduce table1 reproduce.steps=0", ["reproduce.steps=0", "1 or more"]),
        ("reproduce table1 reproduce.cell=one", ["reproduce.cell=one", "integer"]),
        ("reproduce table1 reproduce.cell=99", ["reproduce.cell=99", "cells 0 to"]),
        ("reproduce table1 reproduce.overrides=['foo=1']", ["reproduce.overrides", "foo"]),
        ("reproduce table1 reproduce.dir=/dev/null/x", ["reproduce.dir=/dev/null/x"]),
        (
            f"reproduce table1 --dry-run reproduce.dir={__file__}",
            [f"reproduce.dir={__file__}", "Not a directory"],
        ),
        (
            "reproduce table1 reproduce.columns=[100,2000000000]",
            ["scale=smoke", "GB are free", "set reproduce.columns=[100] or scale=", " fits"],
        ),
        ("reproduce table1 --launcher nope", ["nope", "basic"]),
        ("reproduce table1 --launcher", ["--launcher", "lacks its value"]),
    ],
)
def test_other_commands_refuse(typed: str, expected: list[str], here: Here) -> None:
    check_refusal(here(*typed.split()), expected)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("solve dim=ten", ["dim=ten", "integer"]),
        ("solve runtime.platform=gpu", ["runtime.platform=gpu", "stde doctor"]),
        # A platform that JAX knows a plugin for, which fails in another way.
        ("solve runtime.platform=cuda", ["runtime.platform=cuda", "stde doctor"]),
        ("slove", ["slove", "did you mean solve"]),
    ],
)
def test_a_process_refuses(typed: str, expected: list[str], tmp_path: Path) -> None:
    check_refusal(stde(*typed.split(), cwd=tmp_path), expected)


@pytest.mark.parametrize(
    ("module", "typed", "extra"),
    [
        ("folx", "solve estimator=forward_laplacian dim=4 run_dir=run", "stde[baselines]"),
        (
            "torch",
            "bench bench.methods=[sdgd_backward_pytorch] dim=4 estimator.batch=2",
            "stde[torch]",
        ),
    ],
)
def test_a_method_without_its_extra_is_refused(
    module: str,
    typed: str,
    extra: str,
    here: Here,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr(matrix, "Child", InThisProcess)
    check_refusal(here(*typed.split()), [f"pip install '{extra}'"])
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_start_that_does_not_fit_is_refused(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Room for the state and for a step, and then no more."""
    free = iter([10**12, 10**12, 1000])
    monkeypatch.setattr("stde_cli.jobs.preparation.available_memory_bytes", lambda: next(free))
    outcome = here("solve", *SMALL, "start=least_squares", "run_dir=run")
    check_refusal(outcome, ["dim=6", "finding where to start takes", "start=trivial_solution"])
    assert not (tmp_path / "run").exists()


def test_a_directory_that_holds_a_run_is_left_alone(finished_run: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in finished_run.rglob("*")}
    outcome = stde("solve", *SMALL, f"run_dir={finished_run}", cwd=finished_run.parent)
    check_refusal(outcome, ["run_dir=", "holds a run already", "resume=auto"])
    arguments = (*SMALL, "seed=7", f"run_dir={finished_run}", "resume=auto")
    outcome = stde("solve", *arguments, cwd=finished_run.parent)
    check_refusal(outcome, ["run_dir=", "another configuration, with seed=0"])
    assert before == {p: p.stat().st_mtime_ns for p in finished_run.rglob("*")}


def test_a_directory_of_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("...")
    outcome = stde("solve", *SMALL, "run_dir=thesis", cwd=tmp_path)
    check_refusal(outcome, ["run_dir=thesis", "not empty"])
    assert (tmp_path / "thesis" / "chapter1.tex").read_text() == "..."


@pytest.mark.skipif(os.getuid() == 0, reason="root writes anywhere; /proc stands in above")
def test_an_unwritable_directory(tmp_path: Path) -> None:
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    outcome = stde("solve", *SMALL, f"run_dir={tmp_path / 'run'}", cwd=Path.cwd())
    check_refusal(outcome, ["run_dir=", "cannot be written"])


def damage_nothing(run: Path) -> None:
    shutil.rmtree(run)


def empty(run: Path) -> None:
    shutil.rmtree(run)
    run.mkdir()


def foreign(run: Path) -> None:
    empty(run)
    (run / "notes.txt").write_text("not a run")


def garble_config(run: Path) -> None:
    (run / "config.yaml").write_text("dim: [1, 2\n")


def strange_config(run: Path) -> None:
    (run / "config.yaml").write_text("model: resnet\n")


def incomplete_config(run: Path) -> None:
    (run / "config.yaml").write_text("dim: 6\n")


def earlier_layout(run: Path) -> None:
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("stde_cli.MLP", "stde_cli.networks.MLP"))


def garble_summary(run: Path) -> None:
    (run / "summary.json").write_text('{"status": ')


def recursive_config(run: Path) -> None:
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("dim: 6", "dim: ${dim}"))


def mistyped_summary(run: Path) -> None:
    summary = run / "summary.json"
    summary.write_text(
        summary.read_text().replace('"wall_seconds": ', '"wall_seconds": "x", "w": ')
    )


def no_checkpoint(run: Path) -> None:
    shutil.rmtree(run / "checkpoints")


def garble_checkpoint(run: Path) -> None:
    for file in (run / "checkpoints").rglob("*"):
        if file.is_file():
            file.write_bytes(b"garbage")


def truncated_checkpoint(run: Path) -> None:
    for file in (run / "checkpoints").rglob("d/*"):
        file.write_bytes(b"")


def edited_config(run: Path) -> None:
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("width: 8", "width: 9"))


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (damage_nothing, ["no such directory"]),
        (empty, ["not a run"]),
        (foreign, ["not a run"]),
        (garble_config, ["config.yaml"]),
        (strange_config, ["config.yaml", "model"]),
        (incomplete_config, ["config.yaml", "lacks"]),
        (earlier_layout, ["stde_cli.networks.MLP", "earlier version", "solve it anew"]),
        (garble_summary, ["summary.json"]),
        (mistyped_summary, ["summary.json", "wall_seconds"]),
        (recursive_config, ["config.yaml", "ecursive interpolation"]),
        (no_checkpoint, ["no checkpoint"]),
        (garble_checkpoint, ["checkpoint 40 cannot be read"]),
        (truncated_checkpoint, ["checkpoint 40 cannot be read"]),
        (edited_config, ["checkpoint 40 does not hold"]),
    ],
)
def test_resume_and_evaluate_refuse_what_is_no_run(
    damage, expected: list[str], finished_run: Path, here: Here, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    summary = run / "summary.json"
    summary.write_text(summary.read_text().replace('"finished"', '"interrupted"'))
    damage(run)
    check_refusal(here("resume", "run"), ["RUN=run", *expected])
    if damage not in (garble_summary, mistyped_summary):
        check_refusal(here("evaluate", "run", "--points", "10"), ["RUN=run", *expected])


def test_a_process_says_no_more_of_a_garbled_checkpoint(finished_run: Path, tmp_path: Path) -> None:
    """The threads that read it would speak up when the process ends."""
    shutil.copytree(finished_run, tmp_path / "run")
    garble_checkpoint(tmp_path / "run")
    outcome = stde("evaluate", "run", "--points", "10", cwd=tmp_path)
    check_refusal(outcome, ["RUN=run", "checkpoint 40 cannot be read"])


GOOD = np.full((3, 6), 0.1)


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        (np.zeros((3, 5)), ["5 coordinates", "dim=6"]),
        (np.zeros((0, 6)), ["holds no points"]),
        (np.where(np.arange(18).reshape(3, 6) == 8, np.nan, GOOD), ["row 2 is not finite"]),
        (np.zeros(6), ["shape (6,)"]),
        (np.array([["a"] * 6]), ["give numbers"]),
        (b"no array", ["is no .npy file"]),
        ("1,2,3,4,5,6\n1,2,3\n", ["row 2 is not 6 numbers"]),
        ("1,2,3,4,5,nan\n", ["row 1 is not finite"]),
        (np.where(np.arange(18).reshape(3, 6) == 8, 1e300, GOOD), ["row 2 is too large"]),
        ("", ["holds no points"]),
        ("\ufeff1,2,3,4,5\n", ["5 coordinates"]),
        ("1,2,3,4,5,six\n1,2,3,4,5,6\n", ["row 1 is not 6 numbers"]),
        (None, ["no such file"]),
    ],
)
def test_predict_refuses_points(
    points, expected: list[str], finished_run: Path, here: Here, tmp_path: Path
) -> None:
    name = "points.csv" if isinstance(points, str) else "points.npy"
    if isinstance(points, np.ndarray):
        np.save(tmp_path / name, points)
    elif points is not None:
        (tmp_path / name).write_bytes(points if isinstance(points, bytes) else points.encode())
    arguments = ("--points", name, "--out", "values.npy")
    check_refusal(here("predict", str(finished_run), *arguments), [f"--points={name}", *expected])
    assert {p.name for p in tmp_path.iterdir()} <= {name}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"--derivatives": "u_x9"}, ["--derivatives=u_x9", "x1 to x6"]),
        ({"--derivatives": "u_x0"}, ["--derivatives=u_x0", "x1 to x6"]),
        ({"--derivatives": "u_" + 13 * "x1"}, ["--derivatives=u_x1", "order 13"]),
        ({"--derivatives": "curl"}, ["--derivatives=curl", "laplacian"]),
        ({"--out": "values.txt"}, ["--out=values.txt", ".npy"]),
        ({"--out": "nowhere/values.npy"}, ["--out=nowhere/values.npy", "cannot be written"]),
        ({"--points": "points.txt"}, ["--points=points.txt", ".csv"]),
        ({"--points": "."}, ["--points=.", "no such file"]),
    ],
)
def test_predict_refuses_arguments(
    changes: dict[str, str], expected: list[str], finished_run: Path, here: Here, tmp_path: Path
) -> None:
    np.save(tmp_path / "points.npy", GOOD)
    (tmp_path / "points.txt").write_text("1 2 3 4 5 6\n")
    arguments = {"--points": "points.npy", "--out": "values.npy", **changes}
    flat = [word for pair in arguments.items() for word in pair]
    check_refusal(here("predict", str(finished_run), *flat), expected)
    assert not list(tmp_path.glob("*values*"))


@pytest.mark.parametrize(
    ("grid", "out", "expected"),
    [
        ("x7=0:1:9", "values.npz", ["--slice=x7", "no such coordinate", "x1, x2, x3 ... x6"]),
        ("x1=1:0:9", "values.npz", ["--slice=x1=1:0:9", "is empty"]),
        ("x1=0:1e99:9", "values.npz", ["--slice=x1=0:1e99:9", "too large for the precision"]),
        ("x1=0:1:9", "values.npy", ["--out=values.npy", ".npz"]),
        ("x1=0:1:9", "nowhere/values.npz", ["--out=nowhere/values.npz", "cannot be written"]),
    ],
)
def test_predict_refuses_slices(
    grid: str, out: str, expected: list[str], finished_run: Path, here: Here, tmp_path: Path
) -> None:
    outcome = here("predict", str(finished_run), "--slice", grid, "--out", out)
    check_refusal(outcome, expected)
    assert not list(tmp_path.glob("*values*"))


FULL_DISK = ("bash", "-c", 'ulimit -f 200; exec env PYTHONDONTWRITEBYTECODE=1 "$@"', "bash")
"""Files may grow to 200 kB: a write beyond fails as on a full disk."""
# A compiled program that is kept would not fit either, and JAX says so.
UNCACHED = environment(JAX_ENABLE_COMPILATION_CACHE="false")


@pytest.mark.slow
def test_a_checkpoint_that_does_not_fit_on_disk(tmp_path: Path) -> None:
    """The error names the step; figures stay, and nothing of the failed checkpoint."""
    arguments = ("dim=4000", "steps=4", "evaluation.points=10", "run_dir=run")
    outcome = stde_anew("solve", *arguments, cwd=tmp_path, env=UNCACHED, within=FULL_DISK)
    check_refusal(outcome, ["run_dir=", "checkpoint of step 4 could not be written"])
    assert "resume" not in outcome.err, "there is nothing to resume"
    assert list((tmp_path / "run" / "checkpoints").iterdir()) == []
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["status"] == "failed"


def test_a_disk_that_fills_up_in_a_save_is_not_taken_for_memory(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def save(*_, **__):
        raise ValueError("RESOURCE_EXHAUSTED: writing: No space left on device")

    monkeypatch.setattr("orbax.checkpoint.CheckpointManager.save", save)
    outcome = here("solve", *SMALL, "run_dir=run")
    check_refusal(outcome, ["run_dir=run", "could not be written", "No space left"])
    assert "memory" not in outcome.err


@pytest.mark.parametrize("suffix", [".npy", ".csv"])
def test_values_that_do_not_fit_on_disk(
    suffix: str, finished_run: Path, here: Here, tmp_path: Path
) -> None:
    """A limit stands for a full disk; what was written of the file is removed."""
    np.save(tmp_path / "points.npy", np.full((20_000, 6), 0.1))
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limit[1]))
    try:
        outcome = here(
            "predict", str(finished_run), "--points", "points.npy", "--out", f"values{suffix}"
        )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    check_refusal(outcome, [f"--out=values{suffix}", "cannot be written", "File too large"])
    assert {path.name for path in tmp_path.iterdir()} == {"points.npy"}


def test_an_earlier_checkpoint_survives_a_full_disk(tmp_path: Path) -> None:
    """The first process saves step 2; the second, on a full disk, cannot save step 4."""
    small = ("dim=4000", "steps=60000", "train.log_every=1", "run_dir=run", "evaluation.points=10")
    stopped = stde_interrupted(
        "solve",
        *small,
        "evaluation.every=60000",
        cwd=tmp_path,
        number=signal.SIGTERM,
        once=tmp_path / "run" / "metrics.jsonl",
        contains='"step": 1,',
    )
    assert stopped.status == 143, stopped
    saved = {p.name for p in (tmp_path / "run" / "checkpoints").iterdir()}
    config = tmp_path / "run" / "config.yaml"
    text = config.read_text()
    config.write_text(text.replace("every: null\n  minutes", "every: 1\n  minutes"))
    outcome = stde_anew("resume", "run", cwd=tmp_path, env=UNCACHED, within=FULL_DISK)
    check_refusal(outcome, ["could not be written", "is kept"])
    assert {p.name for p in (tmp_path / "run" / "checkpoints").iterdir()} == saved
    assert read_arrays(tmp_path / "run")


def test_an_activation_without_a_jet_rule_is_named(tmp_path: Path) -> None:
    """The published estimator rests on jax.experimental.jet, which lacks some rules."""
    (tmp_path / "odd.py").write_text(
        "import equinox as eqx, jax.numpy as jnp\n"
        "class Odd(eqx.Module):\n"
        "    weight: object\n"
        "    def __init__(self, dim, *, key):\n"
        "        self.weight = jnp.ones(dim)\n"
        "    def __call__(self, x):\n"
        "        return jnp.sort(self.weight * x)[0]\n"
    )
    (tmp_path / "mine" / "network").mkdir(parents=True)
    (tmp_path / "mine" / "network" / "odd.yaml").write_text("_target_: odd.Odd\n")
    arguments = ("dim=6", "estimator.batch=3", "network=odd", "steps=2", "evaluation.points=10")
    outcome = stde(
        "solve", "--config-dir", "mine", *arguments, "estimator=stde_unrestricted", cwd=tmp_path
    )
    check_refusal(outcome, ["estimator=stde_unrestricted", "sort"])
    stde("solve", "--config-dir", "mine", *arguments, cwd=tmp_path).check()


def test_a_run_at_work_is_left_alone(finished_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    summary = run / "summary.json"
    summary.write_text(summary.read_text().replace('"finished"', '"running"'))
    with RunDirectory(run).locked():
        outcome = stde("resume", "run", cwd=tmp_path)
    check_refusal(outcome, ["run_dir=run", "another process"])
    stde("resume", "run", cwd=tmp_path).check()


def test_lines_of_metrics_that_are_none_are_passed_over(
    finished_run: Path, here: Here, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    with (run / "metrics.jsonl").open("ab") as file:
        file.write(b'\xff\n[1]\n{"loss": 1}\n{"step": "x"}\n')
    found = RunDirectory(run).read_metrics()
    assert found == RunDirectory(finished_run).read_metrics()
    here("evaluate", "run", "--points", "10", "--plot", "p.png").check()


def test_files_that_name_one_another(here: Here, tmp_path: Path) -> None:
    (tmp_path / "mine" / "pde").mkdir(parents=True)
    (tmp_path / "mine" / "pde" / "p.yaml").write_text("defaults:\n  - p\n")
    check_refusal(here("solve", "--config-dir", "mine", "pde=p"), ["defaults: a file names itself"])


def test_a_torn_line_of_metrics_does_not_stop_a_resume(finished_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    summary = run / "summary.json"
    summary.write_text(summary.read_text().replace('"finished"', '"interrupted"'))
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 41, "lo')
    stde("resume", "run", cwd=tmp_path).check()
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 40
    assert json.loads(summary.read_text())["loss"] is not None


def test_a_link_to_nowhere_in_place_of_runs(tmp_path: Path) -> None:
    (tmp_path / "runs").symlink_to(tmp_path / "unmounted" / "scratch")
    check_refusal(stde("solve", *SMALL, cwd=tmp_path), ["run_dir="])


@pytest.mark.parametrize("key", ["hydra.run.dir", "hydra.sweep.subdir", "hydra.job.chdir"])
def test_hydras_own_places_are_refused(key: str, here: Here, tmp_path: Path) -> None:
    check_refusal(here("solve", *SMALL, f"{key}=elsewhere"), [f"{key}=elsewhere", "run_dir="])
    assert not list(tmp_path.iterdir())


def test_a_run_outlives_its_reader(tmp_path: Path) -> None:
    """`stde solve | head -1`."""
    command = f'"{sys.executable}" -m stde_cli solve {" ".join(SMALL)} run_dir=run | head -n 1'
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["status"] == "finished"


def test_a_run_that_was_moved_knows_where_it_is(
    finished_run: Path, here: Here, tmp_path: Path
) -> None:
    shutil.copytree(finished_run, tmp_path / "moved")
    assert "  stde evaluate moved\n" in here("resume", "moved").check().out


def test_a_closed_pipe_is_no_error(tmp_path: Path) -> None:
    command = f'"{sys.executable}" -m stde_cli list | head -n 1'
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
