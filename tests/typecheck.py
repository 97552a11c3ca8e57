"""The checker that `conftest.py` puts on every function of the package."""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
"""An int will do for a float, as in any other type checker."""
