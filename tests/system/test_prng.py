import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stde_cli.system.prng import GENERATORS, make_key

DRAWS = {
    "bits": jax.random.bits,
    "uniform": jax.random.uniform,
    "normal": jax.random.normal,
    "rademacher": jax.random.rademacher,
    "randint": lambda key, shape: jax.random.randint(key, shape, -5, 1_000_000),
}
SHAPES = [(), (1,), (7,), (1000,), (3, 5), (2, 3, 4), (0,), (4, 0, 2), (100_003,)]


def equal(ours, theirs) -> bool:
    return ours.dtype == theirs.dtype and bool((np.asarray(ours) == np.asarray(theirs)).all())


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_fused_draws_are_those_of_threefry(shape):
    @jax.jit
    def draws(key):
        return {name: draw(key, shape) for name, draw in DRAWS.items()}

    ours, theirs = (
        draws(make_key(37, generator)) for generator in ("fused_threefry", "threefry2x32")
    )
    for name in DRAWS:
        assert equal(ours[name], theirs[name]), name


def test_fused_draws_outside_jit():
    ours, theirs = (make_key(37, generator) for generator in ("fused_threefry", "threefry2x32"))
    for draw in DRAWS.values():
        assert equal(draw(ours, (7,)), draw(theirs, (7,)))


@pytest.mark.parametrize("bit_width", [8, 16, 32, 64])
def test_every_width_of_bits(float64, bit_width):
    dtype = np.dtype(f"uint{bit_width}")
    draws = (
        jax.random.bits(make_key(5, generator), (33,), dtype)
        for generator in ("fused_threefry", "threefry2x32")
    )
    assert equal(*draws)


@pytest.mark.parametrize("seed", [0, 1, -1, 2**31 - 1])
@pytest.mark.parametrize(
    "derive",
    [
        lambda key: key,
        lambda key: jax.random.split(key, 5)[3],
        lambda key: jax.random.fold_in(key, 12345),
        lambda key: jax.random.split(jax.random.fold_in(key, 7))[0],
    ],
    ids=["root", "split", "fold_in", "fold_in_split"],
)
def test_derived_keys_are_those_of_threefry(derive, seed):
    ours, theirs = (
        derive(make_key(seed, generator)) for generator in ("fused_threefry", "threefry2x32")
    )
    assert equal(jax.random.key_data(ours), jax.random.key_data(theirs))
    assert equal(jax.random.normal(ours, (9,)), jax.random.normal(theirs, (9,)))


def test_same_bits_under_jit_and_vmap():
    ours, theirs = (
        jax.random.split(make_key(3, generator), 4)
        for generator in ("fused_threefry", "threefry2x32")
    )
    draw = jax.jit(jax.vmap(lambda key: jax.random.uniform(key, (6, 5))))
    assert equal(draw(ours), draw(theirs))


@pytest.mark.parametrize("generator", GENERATORS)
def test_every_generator_makes_a_key(generator):
    key = make_key(0, generator)
    assert key.shape == ()
    assert equal(jax.random.normal(key, (4,)), jax.random.normal(key, (4,)))


def test_a_loop_of_draws_keeps_no_counter():
    """What does not depend on the key XLA would compute once, before the loop, and hold."""
    points, dim = 64, 4096

    def loop(key):
        def body(step, total):
            return total + jax.random.normal(jax.random.fold_in(key, step), (points, dim))[0, 0]

        return jax.lax.fori_loop(0, 9, body, jnp.zeros(()))

    compiled = jax.jit(loop).lower(make_key(1)).compile()
    memory = compiled.memory_analysis()
    assert memory is not None
    assert memory.temp_size_in_bytes < points * dim
