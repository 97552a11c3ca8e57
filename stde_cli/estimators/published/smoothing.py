import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from stde_cli.estimators.base import AbstractEstimator, Operators
from stde_cli.estimators.published.traces import check_represented
from stde_cli.problem.operators import AbstractOperator, Laplacian, extent, partial_sum
from stde_cli.system.ranges import Count, Positive
from stde_cli.system.types import Derivatives, Point, PRNGKey, Scalar, ScalarField


class RandomizedSmoothing(AbstractEstimator):
    """Stein's derivative-free Laplacian of a smoothed field: nothing is differentiated in x.

    RS-PINN: Hu, Yang, Wang, Karniadakis, Kawaguchi, "Bias-variance trade-off in physics-informed
    neural networks with randomized smoothing for high-dimensional PDEs" (2023, arXiv 2311.15283);
    He et al., "Learning physics-informed neural networks without stacked back-propagation" (2022,
    arXiv 2202.09340). The solution is u(x) = E f(x + sigma e), with e normal in R^dim and f the
    trained field. Derivatives fall on the density of e (Stein's identity):

        du/dx_i      = E  e_i/sigma f(x + sigma e),
        Laplacian(u) = E (|e|^2 - n)/sigma^2 f(x + sigma e)     over n coordinates, |e| in these.

    e and -e are alike, and the mean of |e|^2 - n is zero, so that with less variance

        du/dx_i      = E  e_i/(2 sigma) (f(x + sigma e) - f(x - sigma e)),
        Laplacian(u) = E (|e|^2 - n)/(2 sigma^2) (f(x + sigma e) + f(x - sigma e) - 2 f(x)).

    `samples` pairs, one set for all points, stand for E.

    Biased, as an estimate for f: u - f = sigma^2/2 Laplacian(f) + O(sigma^4), and as much of
    Laplacian(f) for its Laplacian, while a run's errors are those of f itself. Noise in u biases
    what is not linear in it, and every squared residual; the relative noise of a Laplacian is about
    sqrt(dim/(2 samples)). The smaller sigma, the more digits the second difference loses.
    """

    sigma: Positive
    samples: Count

    def draw(self, operators: Operators, dim: int, *, key: PRNGKey) -> Float[Array, "samples dim"]:
        check_represented(operators)
        return jax.random.normal(key, (self.samples, dim))

    def __call__(
        self,
        field: ScalarField,
        operators: Operators,
        x: Point,
        drawn: Float[Array, "samples dim"],
    ) -> tuple[Scalar, Derivatives]:
        def both_sides(e: Point) -> tuple[Scalar, Scalar]:
            return field(x + self.sigma * e), field(x - self.sigma * e)

        forth, back = jax.vmap(both_sides)(drawn)
        odd, even = (forth - back) / (2 * self.sigma), (forth + back) / 2

        def read(operator: AbstractOperator) -> Scalar:
            if isinstance(operator, Laplacian):
                over = extent(operator.span, x.size)
                squares = jnp.sum(drawn[:, over.start : over.stop] ** 2, axis=1)
                return jnp.mean((squares - len(over)) * (even - field(x))) / self.sigma**2
            found = partial_sum(operator)
            assert found is not None
            terms = (factor * jnp.mean(drawn[:, i] * odd) for (i,), factor in found.items())
            return sum(terms, start=0 * x[0])

        return jnp.mean(even), {name: read(operator) for name, operator in operators.items()}
