"""Solve high-dimensional and high-order PDEs by the Stochastic Taylor Derivative Estimator.

What is public is named in `__init__.pyi`, and imported when it is first asked for: YAML files and
programs name it by `stde_cli.NAME`, wherever it lives.
"""

import lazy_loader

from stde_cli._version import __version__ as __version__

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
