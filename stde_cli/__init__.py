"""Solve high-dimensional and high-order PDEs by the Stochastic Taylor Derivative Estimator.

What is public is named in `__init__.pyi`, and imported when it is first asked for: YAML files and
programs name it by `stde_cli.NAME`, wherever it lives.
"""

import sys

if sys.argv[:1] == ["-m"] and not sys.flags.safe_path:
    # `python -m stde_cli`, while it is being found: Python has put the working directory first.
    # A random.py there would stand for Python's; what is the user's is looked for last.
    del sys.path[0]

import lazy_loader

from stde_cli._version import __version__ as __version__

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
