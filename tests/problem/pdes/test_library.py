"""Every PDE of configs/pde that is text: its solution solves it, and its conditions hold."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import ListConfig

from stde_cli.config.schema import register
from stde_cli.expressions import Node, parse
from stde_cli.expressions.nodes import Add, Source
from stde_cli.problem.constraints import Unconstrained
from stde_cli.problem.domains import Diffusion, Gaussian, Product
from stde_cli.problem.operators import AbstractOperator
from stde_cli.problem.pdes.equation import Equation
from stde_cli.problem.pdes.symbolic import Symbolic
from stde_cli.system.prng import make_key

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
FILES = [file for file in CONFIGS.glob("pde/*.yaml") if "stde_cli.Symbolic" in file.read_text()]
COMPUTED = [file.stem for file in FILES if "\nsolution: {" in file.read_text()]
"""What is no text has tests of its own."""
NAMES = sorted(
    file.stem for file in FILES if "\nsolution:" in file.read_text() and file.stem not in COMPUTED
)
LARGE = [file.stem for file in FILES if re.search(r"^dim: \d{2,}", file.read_text(), re.M)]
OF_ANY_DIM = [
    file.stem
    for file in FILES
    if "${dim}" in file.read_text() and file.stem in NAMES and file.stem not in LARGE
]
"""A large one is looked at in another dim than its own anyhow."""
UNSOLVED = sorted(file.stem for file in FILES if file.stem not in (*NAMES, *COMPUTED))
WITH_SOURCE = sorted(file.stem for file in FILES if "\nsource:" in file.read_text())
assert min(len(NAMES), len(OF_ANY_DIM), len(WITH_SOURCE)) > 0
POINTS, TOLERANCE = 6, 1e-9


@cache
def configuration(name: str, *overrides: str) -> Any:
    register()
    if name in LARGE and not any(o.startswith("dim=") for o in overrides):
        # Nested derivatives are quadratic in it.
        overrides = ("dim=6", *overrides)
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return compose("solve", overrides=[f"pde={name}", *overrides])


def library(name: str, *overrides: str) -> tuple[Any, Symbolic]:
    """The configuration and the PDE of a file, as `stde solve pde=NAME` would have them."""
    config = configuration(name, *overrides)
    make = instantiate(config.pde, _partial_=True, _convert_="all")
    return config, make(dim=config.dim, key=make_key(0))


def exact_values(operators: dict[str, AbstractOperator], field, x) -> dict[str, jax.Array]:
    return {name: operator.exact(field, x) for name, operator in operators.items()}


def terms(text: str, equation: Equation) -> list[Equation]:
    """The terms of a residual but - f, an equation each."""
    layout, parameters = equation.layout, equation.parameters
    node = parse(text, layout, parameters, where="test", allow=frozenset("uf"))
    parts: tuple[Node, ...] = node.terms if isinstance(node, Add) else (node,)
    return [
        Equation(part, layout, parameters, where="test")
        for part in parts
        if not any(isinstance(n, Source) for n in part.walk())
    ]


def largest_term(text: str, equation: Equation, field, x) -> jax.Array:
    """At each point; one term may be all there is, and zero."""
    parts = terms(text, equation)
    values = jax.jit(jax.vmap(lambda y: [e.of(field, y) for e in parts]))(x)
    return jnp.max(jnp.abs(jnp.stack(values)), axis=0)


def check_solves(config: Any, pde: Symbolic) -> None:
    """The residual of the solution, relative to the residual's largest term."""
    solution = pde.solution
    assert solution is not None
    x = pde.domain.sample_interior(POINTS, key=make_key(1))
    assert x.dtype == jnp.float64

    def residuals(y):
        known = exact_values(pde.operators, solution, y)
        source = pde.source(y)
        planned = pde.equation.of(solution, y) - source
        return pde.residual(y, solution(y), known), planned, source

    plain, planned, source = jax.jit(jax.vmap(residuals))(x)
    size = jnp.maximum(largest_term(config.pde.residual, pde.equation, solution, x), abs(source))
    assert jnp.all(size > 0)
    assert jnp.max(jnp.abs(plain) / size) < TOLERANCE
    assert jnp.max(jnp.abs(planned) / size) < TOLERANCE


@pytest.mark.parametrize("name", NAMES)
def test_the_solution_solves_the_equation(name: str, float64: None) -> None:
    check_solves(*library(name))


@pytest.mark.parametrize("name", OF_ANY_DIM)
def test_it_does_so_in_another_dim(name: str, float64: None) -> None:
    config, pde = library(name, "dim=5")
    assert pde.domain.dim == 5 + ("t" in config.pde.coordinates)
    check_solves(config, pde)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("kdv_2d", ("3*diff", "3.0001*diff")),
        ("kdv_1d", ("u_xxx", "1.0001*u_xxx")),
        ("biharmonic", ("biharmonic(u)", "biharmonic(u)*1.0001")),
        ("fokker_planck", ("div(x*u)", "div(1.0001*x*u)")),
        ("anisotropic_poisson", ("trace(A, u)", "trace(A, u) + 0.0001*u")),
        ("wave", ("laplacian", "1.0001*laplacian")),
    ],
)
def test_a_wrong_residual_is_seen(name: str, change: tuple[str, str], float64: None) -> None:
    right = library(name)[0].pde.residual
    text = right.replace(*change)
    assert text != right
    config, pde = library(name, f"pde.residual='{text}'")
    with pytest.raises(AssertionError):
        check_solves(config, pde)


@pytest.mark.parametrize("name", NAMES)
def test_the_solution_meets_every_condition(name: str, float64: None) -> None:
    config, pde = library(name)
    solution = pde.solution
    assert solution is not None
    inside = pde.domain.sample_interior(POINTS, key=make_key(1))
    assert len(pde.asked) == len(config.pde.get("conditions", ()))
    for number, condition in enumerate(pde.asked):
        x = condition.sample(20, key=make_key(number))

        def wrong(y):
            return solution(y) * (1 + 1e-3 * jnp.sum(y))

        def residuals(y, condition=condition):
            return [
                condition.residual(y, field(y), exact_values(condition.operators, field, y))
                for field in (solution, wrong)
            ]

        found, of_another = jax.jit(jax.vmap(residuals))(x)
        # The terms may all vanish where the condition holds: their size is that of the inside.
        text = config.pde.conditions[number].residual
        size = jnp.max(largest_term(text, condition.equation, solution, inside))
        assert jnp.max(jnp.abs(found)) < TOLERANCE * size < jnp.max(jnp.abs(of_another))


@pytest.mark.parametrize("name", NAMES)
def test_the_lift_is_right_where_the_constraint_vanishes(name: str, float64: None) -> None:
    config, pde = library(name)
    inside = pde.domain.sample_interior(200, key=make_key(2))
    solution = pde.solution
    lift = pde.lift or (lambda x: jnp.zeros((), x.dtype))
    assert solution is not None
    if isinstance(pde.constraint, Unconstrained):
        assert pde.lift is None
        return
    if isinstance(pde.domain, Diffusion):
        places = [pde.domain.sample_boundary(80, key=make_key(3))]
    else:
        domain = pde.domain if isinstance(pde.domain, Product) else Product(pde.domain)
        places = [
            domain.sample_face(part, 40, key=make_key(part))
            for part, of in enumerate(domain.parts)
            if not isinstance(of, Gaussian)
        ]
    if "t" in config.pde.coordinates and not isinstance(pde.domain, Diffusion):
        first = list(config.pde.coordinates).index("t")
        places.append(inside.at[:, first].set(config.pde.coordinates.t[0]))
    everywhere = jnp.concatenate([inside, *places])
    constraint, known, exact = jax.jit(
        lambda x: [jax.vmap(f)(x) for f in (pde.constraint, lift, solution)]
    )(everywhere)
    size = jnp.abs(constraint[: len(inside)])
    assert jnp.min(size) > 0
    zero = jnp.abs(constraint) < 1e-14 * jnp.max(size)
    assert jnp.sum(zero) >= 20
    atol = 1e-14 * float(jnp.max(jnp.abs(exact[: len(inside)])))
    np.testing.assert_allclose(exact[zero], known[zero], rtol=1e-12, atol=atol)


@pytest.mark.parametrize("name", WITH_SOURCE)
def test_the_written_source_is_that_of_the_solution(name: str, float64: None) -> None:
    _, pde = library(name)
    assert pde.given_source is not None
    _, derived = library(name, "pde.source=null")
    assert derived.manufactured
    x = pde.domain.sample_interior(POINTS, key=make_key(3))
    np.testing.assert_allclose(
        jax.jit(jax.vmap(pde.source))(x), jax.jit(jax.vmap(derived.source))(x), rtol=1e-9
    )


@pytest.mark.parametrize("name", UNSOLVED)
def test_what_has_no_solution_has_a_value_that_is_wanted(name: str, float64: None) -> None:
    config, pde = library(name)
    assert pde.time is not None
    assert pde.value_at is not None
    ends = pde.domain.sample_where({pde.time.position: pde.time.given}, 5, key=make_key(4))
    assert jnp.isfinite(jax.vmap(pde.time.data)(ends)).all()
    if pde.lift is not None:
        np.testing.assert_allclose(jax.vmap(pde.lift)(ends), jax.vmap(pde.time.data)(ends))
    found = config.pde.get("reference", [])
    entries = found if isinstance(found, ListConfig) else [found]
    for entry in entries:
        assert library(name, f"dim={entry.when.dim}")[1].reference == entry.value
    for elsewhere in ("pde.parameters.T=0.7", "pde.value_at.t=0.1", "pde.value_at.x=1"):
        for entry in entries[:1]:
            assert library(name, f"dim={entry.when.dim}", elsewhere)[1].reference is None
