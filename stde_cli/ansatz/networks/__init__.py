"""Networks R^dim -> R, each with a `restrict` that does its O(dim) work once a point."""

from stde_cli.ansatz.networks.additive_mlp import AdditiveMLP as AdditiveMLP
from stde_cli.ansatz.networks.features import OfFeatures as OfFeatures
from stde_cli.ansatz.networks.features import redundant as redundant
from stde_cli.ansatz.networks.mlp import MLP as MLP
from stde_cli.ansatz.networks.mlp import silenced as silenced
from stde_cli.ansatz.networks.standardised import Standardised as Standardised
from stde_cli.ansatz.networks.standardised import on_domain as on_domain
from stde_cli.ansatz.networks.weight_sharing import WeightSharing as WeightSharing
