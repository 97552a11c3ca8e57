"""Methods as others published them, one file a family: there to be measured against.

Nothing of ours builds on them. Most read whole fields on R^dim, which is what they cost.
"""

from stde_cli.estimators.published.forward_laplacian import ForwardLaplacian as ForwardLaplacian
from stde_cli.estimators.published.hutchinson import HTE as HTE
from stde_cli.estimators.published.nested_backward import NestedBackward as NestedBackward
from stde_cli.estimators.published.pytorch import SDGDBackwardPyTorch as SDGDBackwardPyTorch
from stde_cli.estimators.published.sdgd import SDGDBackwardScan as SDGDBackwardScan
from stde_cli.estimators.published.sdgd import SDGDBackwardVmap as SDGDBackwardVmap
from stde_cli.estimators.published.sdgd import SDGDForwardOverBackward as SDGDForwardOverBackward
from stde_cli.estimators.published.smoothing import RandomizedSmoothing as RandomizedSmoothing
from stde_cli.estimators.published.tangent_prop import TangentProp as TangentProp
from stde_cli.estimators.published.unrestricted import Unrestricted as Unrestricted
