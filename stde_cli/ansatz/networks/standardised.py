from collections.abc import Callable

import equinox as eqx

from stde_cli.ansatz.networks.features import Untrained
from stde_cli.ansatz.periodic import Embedded, Embedding
from stde_cli.autodiff.directions import AbstractDirections
from stde_cli.autodiff.restriction import restrict
from stde_cli.problem.domains import AbstractDomain
from stde_cli.system.types import Point, PRNGKey, RestrictedField, Scalar, ScalarField


class Standardised(eqx.Module):
    """network(factors * (x - centre)), for points whose entries are of very different sizes."""

    network: ScalarField
    centre: Untrained
    factors: Untrained

    def __call__(self, x: Point) -> Scalar:
        return self.network(self.factors.values * (x - self.centre.values))

    def restrict(self, x: Point, directions: AbstractDirections) -> RestrictedField:
        factors = self.factors.values
        inputs = factors * (x - self.centre.values)
        return restrict(self.network, inputs, directions.stretched(factors))


def on_domain(
    make: Callable[..., ScalarField], domain: AbstractDomain, *, key: PRNGKey
) -> ScalarField:
    """A network of what the domain would have it see of a point: of x itself, if it does not say.

    Args:
        make: from (number of inputs, key=).
    """
    if domain.circles:
        embedding = Embedding(domain)
        return Embedded(make(embedding.inputs, key=key), embedding)
    network = make(domain.dim, key=key)
    if domain.inputs is None:
        return network
    centre, factors = domain.inputs
    return Standardised(network, Untrained(centre), Untrained(factors))
