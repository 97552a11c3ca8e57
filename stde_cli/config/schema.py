"""The typed part of the configuration. Groups such as `pde` are free: any class can be a target."""

import functools
from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import InterpolationResolutionError

from stde_cli.system.ranges import Count, PathText, Positive, Seed, Switch, Whole


@dataclass
class TrainConfig:
    points: Count = 100
    """Collocation points a step."""
    condition_points: Count = 100
    """Points a step for each initial or boundary condition in the loss."""
    redraw_every: Count = 1
    """Steps that share their points and directions, for optimizers that compare gradients."""
    gradient_clip: Positive | None = None
    """Largest global norm of the gradient."""
    log_every: Count | None = None
    """Steps between lines of metrics.jsonl; null: a hundredth of the run."""
    steps_per_call: Count | None = None
    """Most steps in one compiled call; null: as many as half a second holds."""


@dataclass
class EvaluationConfig:
    points: Count = 20_000
    """Test points of the final errors."""
    every: Count | None = None
    """Steps between errors during training; null: a tenth of the run."""
    monitor_points: Count = 2_000
    """Test points of the errors during training, and of the final residual."""


@dataclass
class CheckpointConfig:
    every: Count | None = None
    """Steps between checkpoints; null: by time alone."""
    minutes: Positive = 10.0
    """Longest time between checkpoints."""
    keep: Count = 2
    """Checkpoints kept, the newest ones."""


@dataclass
class RuntimeConfig:
    platform: str | None = None
    """cpu, gpu or tpu; null: the best there is."""
    precision: str = "${precision_asked:float32}"
    """float32 or float64; where nothing is said, what start and optimizer ask for."""
    matmul_precision: str = "default"
    generator: str = "fused_threefry"
    compilation_cache: PathText | None = None
    """Directory of compiled programs, for faster starts."""
    check_memory: Switch = True
    """Refuse a run whose step needs more memory than is free."""


@dataclass
class ReferenceConfig:
    method: str = "none"
    """auto, or a solver; none: no reference is computed."""
    error: Positive | None = None
    """That is wanted, relative to a value above 1; null: what the method is good for."""
    seconds: Positive = 60.0
    """The most that is spent on random draws."""
    level: Count | None = None
    """Of Picard iterations; null: by error and seconds."""
    out: PathText | None = None
    """Where `stde reference` writes what it found, as JSON."""


@dataclass
class TrialConfig:
    """The trial of a study that a run is."""

    storage: PathText = MISSING
    """The study's file."""
    study: str = MISSING
    """Its name there."""
    number: int = MISSING
    objectives: list[str] = MISSING
    """Figures of the run's summary."""
    pruner: dict[str, Any] = MISSING
    """What ends it early."""


@dataclass
class CandidateConfig:
    overrides: list[str] = MISSING
    """On top of what was typed."""
    from_dim: Count = 1
    """The fewest coordinates with which it is tried."""
    up_to_dim: Count | None = None
    """The most; null: any number."""
    steps: Count | None = None
    """Of training, before it is judged; null: those of the race."""
    sampled: bool = True
    """Whether it is tried where operators of the equation have to be sampled on a guess."""


@dataclass
class RaceConfig:
    """Configurations that are tried, each for a short while; a run goes on with the best."""

    candidates: dict[str, Any] = field(default_factory=dict)
    """A CandidateConfig each, by name, tried in this order; none: the run is as configured."""
    steps: Count = 200
    points: Count = 1_000
    """Held out: where the residual judges, fewer where they would have too many coordinates."""
    enough: Positive = 1e-3
    """A candidate that leaves no more of the residual is taken, and no other is tried."""


@dataclass
class TuningConfig:
    """`hydra.sweeper` of `hydra/sweeper=optuna`."""

    n_trials: Count = MISSING
    """Of the whole study, by whatever number of processes."""
    n_jobs: Count = MISSING
    """Trials that the launcher is given at once."""
    objectives: list[str] | None = None
    """Figures of a run's summary that are made small; null: the error, or the loss."""
    storage: PathText | None = None
    """The study's file; null: one in the sweep's directory."""
    study_name: PathText = MISSING
    params: dict[str, Any] = MISSING
    """Further ranges."""


@dataclass
class SolveConfig:
    """`stde solve`."""

    dim: Count = MISSING
    seed: Seed = MISSING
    steps: Count = MISSING
    run_dir: PathText | None = None
    """Where the run is kept; null: a new directory under runs/."""
    resume: str = "never"
    """auto: go on from this configuration's own earlier run, if there is one, but none that
    failed twice at the same step; retry: even that."""
    report: Switch = False
    """Write report.html into the run directory at the end."""
    pde: Any = MISSING
    start: Any = MISSING
    network: Any = MISSING
    estimator: Any = MISSING
    collocation: Any = MISSING
    loss: Any = MISSING
    weighting: Any = MISSING
    optimizer: Any = MISSING
    schedule: Any = MISSING
    tracker: Any = MISSING
    reference: ReferenceConfig = field(default_factory=ReferenceConfig)
    """What the value at the point is held against. Training never sees it."""
    choices: dict[str, str] = field(default_factory=dict)
    """The name chosen in each group, filled in by the command line."""
    race: RaceConfig = field(default_factory=RaceConfig)
    """What is tried before the run."""
    trial: Any = None
    """A TrialConfig: the trial that this run is, filled in by a sweeper that tunes."""
    train: TrainConfig = field(default_factory=TrainConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)


@dataclass
class BenchConfig:
    methods: list[str] = MISSING
    """Keys of `variants`, measured in this order."""
    variants: dict[str, list[str]] = MISSING
    """The overrides that make each method."""
    dims: list[Count] | None = None
    """Values of `dim` to measure each method at; null: the one that is set."""
    batches: list[Count] | None = None
    """Values of `estimator.batch`, likewise."""
    widths: list[Count] | None = None
    """Values of `network.width`, likewise."""
    reference: str | None = None
    """The method that ratios are against; null: the last."""
    blocks: Count = 7
    """Timed blocks a cell; the median counts."""
    block_seconds: Positive = 2.0
    """About how long a block runs; at least one step."""
    until: Positive | None = None
    """Train until the relative L2 error is below this and report the seconds; null: the speed."""
    cell_seconds: Positive | None = None
    """Longest time for a cell, compiling and all; null: no limit."""
    out: PathText | None = None
    """The file that rows are added to, a JSON object a line; a cell in it is not measured again."""
    retry: list[str] = field(default_factory=list)
    """Of timeout, failed, oom, refused: cells of `out` that are measured once more."""
    format: str = "table"
    plot: PathText | None = None
    """Where a plot of speed and memory against dim goes: .svg, .pdf, .png."""


@dataclass
class BenchmarkConfig(SolveConfig):
    """`stde bench`: a solve configuration, run by several methods without keeping anything."""

    bench: BenchConfig = field(default_factory=BenchConfig)


@dataclass
class ScaleConfig:
    steps: Count = MISSING
    seeds: Count = MISSING
    cell_seconds: Positive | None = MISSING
    """Longest time that a cell may take; null: any."""
    bench: list[str] = MISSING
    """Overrides of each measurement."""
    solve: list[str] = MISSING
    """Overrides of each run."""


@dataclass
class ReproduceConfig:
    dir: PathText | None = None
    """Where cells and results are kept; null: reproductions/SCALE."""
    cell: int | None = None
    """The number of one cell, to be filled alone; null: all of them."""
    rows: list[str] | None = None
    """Rows to fill, by name; null: all of the table."""
    columns: list[Any] | None = None
    """Columns to fill, for instance dimensions; null: those of the scale."""
    steps: Count | None = None
    """Of each run; null: those of the scale."""
    seeds: Count | None = None
    cell_seconds: Positive | None = None
    """Longest time that a cell may take; null: that of the scale."""
    overrides: list[str] = field(default_factory=list)
    """Further overrides of every cell."""


@dataclass
class ReproductionConfig:
    """`stde reproduce`."""

    table: str = MISSING
    scale: str = MISSING
    recipe: str = MISSING
    dry_run: Switch = False
    reproduce: ReproduceConfig = field(default_factory=ReproduceConfig)
    scales: dict[str, Any] = MISSING
    """A ScaleConfig each."""
    recipes: dict[str, list[str]] = MISSING
    """Overrides of each recipe."""
    choices: dict[str, str] = field(default_factory=dict)


@dataclass
class SlurmConfig:
    """`hydra.launcher` of `hydra/launcher=slurm`."""

    partition: str | None = None
    """null: that of the site."""
    minutes: Count = MISSING
    """Time limit of a job."""
    warning_seconds: Count = MISSING
    """Ahead of the limit, to save."""
    cpus: Count = MISSING
    gpus: Whole = MISSING
    memory_gb: Positive = MISSING
    at_once: Count | None = None
    """Most jobs that run at the same time; null: as many as Slurm lets."""
    wait: Switch = False
    """Stay until all jobs are done."""
    setup: list[str] = field(default_factory=list)
    """Lines of shell before each job."""
    options: dict[str, Any] = field(default_factory=dict)
    """Further options of sbatch."""


@functools.cache
def register() -> None:
    """Make known to Hydra what the YAML files extend, and what their interpolations call."""
    store = ConfigStore.instance()
    store.store(name="solve_schema", node=SolveConfig)
    store.store(name="reference_schema", node=SolveConfig)
    store.store(name="bench_schema", node=BenchmarkConfig)
    store.store(name="reproduce_schema", node=ReproductionConfig)
    # ${at_most:16,${dim}}, in files of a group's choices.
    OmegaConf.register_new_resolver("at_most", min, replace=True)
    # ${half_of:${steps}}, likewise.
    OmegaConf.register_new_resolver("half_of", lambda number: number // 2, replace=True)
    # ${dim_of_pde:1000}: 1000 where the PDE has no dim of its own and its coordinates say none.
    OmegaConf.register_new_resolver("dim_of_pde", _dim_of_pde, replace=True)
    # ${precision_asked:float32}: float32 where neither start nor optimizer asks for more.
    OmegaConf.register_new_resolver("precision_asked", _precision_asked, replace=True)


def _dim_of_pde(default: int, *, _root_: DictConfig) -> Any:
    own = OmegaConf.select(_root_, "pde.dim")
    return next((n for n in (own, _counted(_root_)) if n is not None), default)


def _precision_asked(default: str, *, _root_: DictConfig) -> Any:
    asked = [OmegaConf.select(_root_, f"{group}.precision") for group in ("start", "optimizer")]
    # Of two the finer, whose name sorts last; what is no precision is told where it is written.
    return max((each for each in asked if isinstance(each, str)), default=default)


def _counted(config: DictConfig) -> int | None:
    """How many coordinates the PDE's text names; None where it leaves that to `dim`."""
    try:
        coordinates = OmegaConf.select(config, "pde.coordinates")
        # What asks for dim itself cannot say it.
        if not OmegaConf.is_dict(coordinates) or "${dim}" in str(coordinates):
            return None
        counts = [_members(range_) for range_ in coordinates.values()]
    except InterpolationResolutionError:
        return None  # Told where it is written.
    return sum(counts) if counts and all(counts) else None


def _members(range_: Any) -> int:
    """1 for [low, high] and one that is periodic, the count of a family; 0 for one without, and for
    what is no range."""
    if OmegaConf.is_dict(range_):
        if list(range_) == ["periodic"]:
            return 1
        count = range_.get("count")
        return count if type(count) is int and count > 0 else 0
    return int(OmegaConf.is_list(range_))
