"""From a configuration to the objects it describes."""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from copy import copy
from functools import partial
from pathlib import Path
from pkgutil import resolve_name
from traceback import walk_tb
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from jax.experimental.compilation_cache import compilation_cache
from jaxtyping import PyTree
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from stde_cli.ansatz.networks import OfFeatures, on_domain, redundant
from stde_cli.config.solutions import given_solution, is_given
from stde_cli.config.targets import BESIDE_ARGUMENTS, GROUPS
from stde_cli.config.validate import check_terms
from stde_cli.estimators import Exact
from stde_cli.expressions import Field
from stde_cli.expressions.symmetric import texts
from stde_cli.objective.losses import AbstractSumOfSquares
from stde_cli.objective.sampled_residual import SampledResidual
from stde_cli.problem.domains import AbstractDomain
from stde_cli.problem.pdes import AbstractPDE
from stde_cli.problem.pdes.periodicity import check_periodic
from stde_cli.runs.tracking import Tracker
from stde_cli.system.errors import DoesNotFit, StdeError, UsageError
from stde_cli.system.files import missing_directories, remove_empty
from stde_cli.system.prng import make_key
from stde_cli.system.resources import available_memory_bytes
from stde_cli.system.types import PRNGKey, ScalarField
from stde_cli.training import Problem, TrainerState, initial_state
from stde_cli.training.gauss_newton import GaussNewton
from stde_cli.training.start import FromLeastSquares, FromRandomFeatures, is_exact_in_one_pass

_PREALLOCATE = "XLA_PYTHON_CLIENT_PREALLOCATE"


class Keys(NamedTuple):
    """Independent keys of a run, all from its seed."""

    pde: PRNGKey
    start: PRNGKey
    network: PRNGKey
    training: PRNGKey
    test: PRNGKey
    residual: PRNGKey
    fresh: PRNGKey
    """Of points that no run of this seed draws."""
    held_out: PRNGKey
    """Of those at which candidates are judged."""


def keys_of(seed: int, generator: str) -> Keys:
    return Keys(*jax.random.split(make_key(seed, generator), len(Keys._fields)))


class Built(NamedTuple):
    """What `solve` needs beside the configuration itself."""

    problem: Problem
    initialise: Callable[[], TrainerState]
    keys: Keys


@contextmanager
def configured_jax(config: DictConfig) -> Iterator[None]:
    """JAX as `runtime` says within the context, and as it was after it: a notebook goes on.

    The first context of a process also chooses the devices that JAX starts with.

    Raises:
        UsageError: there is no such device.
    """
    runtime = config.runtime
    precision = runtime.matmul_precision
    with ExitStack() as stack:
        stack.enter_context(_devices_chosen(runtime.platform))
        stack.enter_context(jax.enable_x64(runtime.precision == "float64"))
        found = None if precision == "default" else precision
        stack.enter_context(jax.default_matmul_precision(found))
        if runtime.compilation_cache:
            stack.enter_context(_writable(runtime.compilation_cache))
            stack.enter_context(_setting("jax_compilation_cache_dir", runtime.compilation_cache))
            # JAX would leave out what compiles within a second, which is most of a small run.
            stack.enter_context(_setting("jax_persistent_cache_min_compile_time_secs", 0.0))
            # It is opened once: by this run for itself, and anew by what follows.
            compilation_cache.reset_cache()
            stack.callback(compilation_cache.reset_cache)
        yield


@contextmanager
def _writable(directory: str) -> Iterator[None]:
    """The directory of compiled programs, which JAX would only warn of; a URL is JAX's business."""
    if "://" in directory:
        yield
        return
    made = missing_directories(Path(directory))
    try:
        Path(directory).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why = f"cannot be written to ({error.strerror})"
        raise UsageError("runtime.compilation_cache", directory, why, "choose another") from error
    try:
        yield
    finally:
        remove_empty(made)


@contextmanager
def _devices_chosen(platform: str | None) -> Iterator[None]:
    with ExitStack() as stack:
        log = logging.getLogger("jax")
        stack.callback(log.setLevel, log.level)
        # JAX's remarks on backends that are not there would land in the middle of ours.
        log.setLevel(logging.WARNING)
        if _PREALLOCATE not in os.environ:
            # Memory that a run does not need stays free, and its peak can be seen.
            os.environ[_PREALLOCATE] = "false"
            stack.callback(os.environ.pop, _PREALLOCATE, None)
        try:
            # `gpu` stands for those of every maker: as the list to start, JAX would ask for all.
            named = platform and platform != "gpu"
            with _setting("jax_platforms", platform) if named else nullcontext():
                device = jax.devices(platform)[0]
        except (RuntimeError, AssertionError) as error:
            # JAX asserts that a platform it knows a plugin for has come up.
            why = "JAX finds no such device"
            raise UsageError("runtime.platform", platform, why, "see: stde doctor") from error
        if platform:
            # Where JAX has started already, the platform may be there beside another.
            stack.enter_context(jax.default_device(device))
        yield


@contextmanager
def _setting(name: str, value: Any) -> Iterator[None]:
    before = getattr(jax.config, name)
    jax.config.update(name, value)
    try:
        yield
    finally:
        jax.config.update(name, before)


def build(config: DictConfig) -> Built:
    """Instantiate everything but the parameters, which `initialise` draws.

    Raises:
        UsageError: a class refuses its arguments, or fails.
    """
    with refusing(config):
        return _build(config)


def _build(config: DictConfig) -> Built:
    keys = keys_of(config.seed, config.runtime.generator)
    pde = _pde(config)
    estimator = _make(config, "estimator")
    residual = SampledResidual(pde, estimator)
    _check_operators(config, residual)
    problem = Problem(
        residual=residual,
        loss=_make(config, "loss"),
        optimizer=partial(_optimizer, config),
        points=config.train.points,
        condition_points=config.train.condition_points,
        start=_make(config, "start"),
        key=keys.training,
        redraw_every=config.train.redraw_every,
        collocation=_make(config, "collocation"),
        weighting=_make(config, "weighting"),
        schedule=_schedule(config),
    )
    _check_squares(config, problem)
    _check_periodic(problem)
    network, features = _maker(config, "network"), _features(config, "network", pde)
    # The start makes its own, of the texts: here they are refused where they will not do.
    _features(config, "start", pde)

    def plain_network(dim: int, *, key: PRNGKey) -> ScalarField:
        return _call(config, "network", network, {"key": key}, dim)

    def make_network(
        features: tuple[Field, ...] | None, domain: AbstractDomain, dim: int, *, key: PRNGKey
    ) -> ScalarField:
        if features is None:
            return on_domain(plain_network, domain, key=key)
        return OfFeatures(features, plain_network, domain, key=key)

    # Its arrays are arguments when it is compiled, not constants: programs are found in the cache
    # again for other seeds.
    initialise = eqx.Partial(
        initial_state,
        problem,
        eqx.Partial(make_network, features, pde.domain),
        start_key=keys.start,
        network_key=keys.network,
    )
    return Built(problem, initialise, keys)


def build_pde(config: DictConfig) -> AbstractPDE:
    """The PDE alone.

    Raises:
        UsageError: its class refuses its arguments, or fails.
    """
    with refusing(config):
        return _pde(config)


def _pde(config: DictConfig) -> AbstractPDE:
    def make(**arguments: Any) -> AbstractPDE:
        key = keys_of(config.seed, config.runtime.generator).pde
        return _make(config, "pde", dim=config.dim, key=key, **arguments)

    settings: Any = OmegaConf.to_container(config.pde, resolve=True)
    if not is_given(settings):
        return make()
    return make(solution=given_solution(settings, config.dim, lambda: make(solution=None)))


def abstract_state(config: DictConfig) -> TrainerState:
    """The shapes of the state that `build(config).initialise()` would make, drawing nothing.

    Raises:
        UsageError: as `build`, or the estimator refuses an operator or the network, or the points
            of a step alone do not fit.
    """
    _check_points(config)

    def shapes() -> TrainerState:
        built = build(config)
        state = built.initialise()
        _check_estimator(config, built.problem, state)
        if built.problem.pde.solution is not None:
            built.problem.pde.solution(jnp.zeros(built.problem.pde.domain.dim))
        return state

    with refusing(config):
        return eqx.filter_eval_shape(shapes)


def _check_points(config: DictConfig) -> None:
    """Before anything has the size of a point."""
    available = available_memory_bytes()
    needed = config.dim * config.train.points * (8 if config.runtime.precision == "float64" else 4)
    if config.runtime.check_memory and available is not None and needed > available:
        why = f"the points of a step take {needed / 1e9:.1f} GB, {available / 1e9:.1f} GB are free"
        raise DoesNotFit("dim", config.dim, why, "lower dim or train.points")


def build_tracker(config: DictConfig) -> Tracker:
    return _make(config, "tracker")


def _schedule(config: DictConfig) -> optax.Schedule:
    """The learning rate by step; 1 where the optimizer has none."""
    if "learning_rate" not in config.optimizer:
        return optax.constant_schedule(1.0)
    rate = config.optimizer.learning_rate
    return _make(config, "schedule", learning_rate=rate, steps=config.steps)


def _optimizer(config: DictConfig, schedule: optax.Schedule) -> optax.GradientTransformation:
    # One without a learning rate finds the length of a step by itself.
    rate = {"learning_rate": schedule} if "learning_rate" in config.optimizer else {}
    optimizer = _make(config, "optimizer", **rate)
    clip = config.train.gradient_clip
    if clip is not None and isinstance(optimizer, GaussNewton):
        why = f"optimizer={config.choices.get('optimizer')} takes no steps along the gradient"
        raise UsageError("train.gradient_clip", clip, why, "leave it out")
    return optimizer if clip is None else optax.chain(optax.clip_by_global_norm(clip), optimizer)


def _check_squares(config: DictConfig, problem: Problem) -> None:
    optimizer = problem.optimizer(problem.schedule)
    if isinstance(optimizer, GaussNewton) and not isinstance(problem.loss, AbstractSumOfSquares):
        name = config.choices.get("optimizer")
        why = f"is no sum of squares, which optimizer={name} minimises"
        raise UsageError("loss", config.choices.get("loss"), why, "take loss=residual")


def _check_periodic(problem: Problem) -> None:
    """Refuse more sines and cosines than can be compiled: only the PDE says that it has some."""
    start, family = problem.start, problem.pde.layout.family_range
    circles = problem.pde.domain.circles
    periodic = len(family) and any(c.start <= family.start < c.stop for c in circles)
    if periodic and isinstance(start, FromLeastSquares):
        check_terms("start.window", start.window, start.degree, periodic=True)


_MOST_NESTED = 20
"""Dimensions in which derivatives are nested: those of biharmonic took over five minutes in 60."""


def check_start(config: DictConfig, problem: Problem) -> None:
    """Refuse a start that would take hours; where a run has started already it takes no time.

    Raises:
        UsageError: it takes exact residuals of operators that are exact in few dimensions only.
    """
    pde, start = problem.pde, problem.start
    nested = isinstance(start, FromRandomFeatures) and not is_exact_in_one_pass(pde)
    if nested and pde.domain.dim > _MOST_NESTED:
        name = config.choices.get("start")
        why = f"start={name} takes nested derivatives of this equation, in every dimension"
        mend = f"lower dim to {_MOST_NESTED}, or take start=trivial_solution"
        raise UsageError("dim", config.dim, why, mend)


def _check_operators(config: DictConfig, residual: SampledResidual) -> None:
    """Refuse what the estimator cannot represent, and what it would bias."""
    pde, estimator = residual.pde, residual.estimator
    residuals = [("pde.residual", pde.nonlinear_in)] + [
        (f"pde.conditions[{number}].residual", condition.nonlinear_in)
        for number, condition in enumerate(pde.conditions)
    ]
    for where, names in residuals:
        if names and not isinstance(estimator, Exact):
            why = f"it is not linear in {names[0]}, which is sampled: the noise would bias it"
            raise UsageError(where, None, why, "take estimator=exact")

    def draw() -> PyTree:
        key = jax.random.key(0)
        beside = [condition.draw(pde.domain.dim, key=key) for condition in residual.conditions]
        return [residual.draw(key=key), *beside]

    with _refused_by_estimator(config):
        eqx.filter_eval_shape(draw)


def _check_estimator(config: DictConfig, problem: Problem, state: TrainerState) -> None:
    """Trace the estimator on the network: it may have no rule for an activation."""
    residual = problem.residual
    with _refused_by_estimator(config):
        drawn = residual.draw(key=problem.key)
        residual.read(state.ansatz, jnp.zeros(residual.pde.domain.dim), drawn)


@contextmanager
def _refused_by_estimator(config: DictConfig) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise UsageError("estimator", config.choices.get("estimator"), str(error)) from error


def _make(config: DictConfig, group: str, /, **arguments: Any) -> Any:
    made = _call(config, group, _maker(config, group), arguments)
    kind = GROUPS[group]
    if not isinstance(made, kind):
        why = f"makes a {type(made).__name__}, no {kind.__name__}"
        raise UsageError(f"{group}._target_", config[group]["_target_"], why)
    return made


def _features(config: DictConfig, group: str, pde: AbstractPDE) -> tuple[Field, ...] | None:
    """The functions of the point that `group` is to see, where these are not all coordinates."""
    of = config[group].get("of")
    if of is None:
        return None
    given = texts(of, pde.layout, where=f"{group}.of")
    found = tuple(pde.field(text, where=f"{group}.of[{k}]") for k, text in enumerate(given))
    for k, field in enumerate(found):
        check_periodic(f"{group}.of[{k}]", field, pde.layout, pde.domain, slopes=True)
    place = redundant(found, pde.domain, key=jax.random.key(0))
    if place is not None:
        why = "is a constant, or a linear function of those before it"
        raise UsageError(f"{group}.of[{place}]", given[place], why, "leave it out")
    return found


def _maker(config: DictConfig, group: str) -> Callable[..., Any]:
    """The target of `group` with the configured arguments filled in."""
    # Arrays, tracers and functions are passed in the call: OmegaConf would copy them.
    settings = {"_partial_": True, "_convert_": "all"}
    # A copy keeps its place in `config`, for what its values refer to.
    given = copy(config[group])
    with open_dict(given):
        for name in BESIDE_ARGUMENTS.get(group, ()):
            given.pop(name, None)
    return _call(config, group, instantiate, settings, given)


def _call(
    config: DictConfig, group: str, function: Callable[..., Any], named: dict[str, Any], *plain: Any
) -> Any:
    """Call, and turn what a class says of its arguments into an error at `group`."""
    try:
        return function(*plain, **named)
    except (StdeError, jax.errors.JaxRuntimeError, OmegaConfBaseException):
        raise
    except InstantiationException as error:
        if isinstance(error.__cause__, StdeError):
            raise error.__cause__ from error
        raise _told(config, group, error.__cause__ or error) from error
    except Exception as error:
        raise _told(config, group, error) from error


@contextmanager
def refusing(config: DictConfig) -> Iterator[None]:
    """What is raised while objects are built from `config` or traced, told in one line.

    Whatever it is: the classes and texts are the user's choice, and often the user's own.

    Raises:
        UsageError: at the group whose class raised it.
        StdeError, OSError, jax.errors.JaxRuntimeError: as they are.
    """
    try:
        yield
    except (StdeError, OSError, jax.errors.JaxRuntimeError, OmegaConfBaseException):
        raise
    except Exception as error:
        raise _told(config, _group_of(error, config), error) from error


def _told(config: DictConfig, group: str, error: BaseException) -> UsageError:
    reason = " ".join(str(error).split("\n\n")[0].split())
    if not isinstance(error, ValueError | TypeError) or not reason:
        reason = f"{type(error).__name__}: {reason}".rstrip(": ")
    if len(reason) > _LONGEST:
        reason = f"{reason[:_LONGEST]}..."
    return UsageError(group, config.choices.get(group), reason, _TRACEBACK)


_LONGEST = 300
_TRACEBACK = "STDE_TRACEBACK=1 shows where"

_ROOMS = {
    "stde_cli.ansatz": "network",
    "stde_cli.objective.losses": "loss",
    "stde_cli.objective.collocation": "collocation",
    "stde_cli.objective.weighting": "weighting",
    "stde_cli.training.start": "start",
    "stde_cli.training.schedules": "schedule",
    "stde_cli.estimators": "estimator",
    "stde_cli.autodiff": "estimator",
    "stde_cli.training.gauss_newton": "optimizer",
    "stde_cli.training.damped_steps": "optimizer",
    "optax": "optimizer",
}
"""Whose business it is what a module does; everything else is the PDE's."""


def _group_of(error: BaseException, config: DictConfig) -> str:
    """The group whose class stands innermost in the traceback."""
    own = {_module_of(config, group): group for group in GROUPS}
    frames = [frame.f_globals.get("__name__", "") for frame, _ in walk_tb(error.__traceback__)]
    for module in reversed(frames):
        if module in own:
            return own[module]
        for room, group in _ROOMS.items():
            if module.startswith(room):
                return group
    return "pde"


def _module_of(config: DictConfig, group: str) -> str:
    target = OmegaConf.select(config, f"{group}._target_", default="")
    return getattr(resolve_name(target), "__module__", "") if target else ""
