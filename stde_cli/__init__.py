"""Solve high-dimensional and high-order PDEs by the Stochastic Taylor Derivative Estimator."""

from stde_cli._version import __version__ as __version__
