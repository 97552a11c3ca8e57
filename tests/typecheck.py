"""The checker that `conftest.py` puts on every function of the package."""

from beartype import BeartypeConf, beartype

# Of annotated variables it checks none, as jaxtyping does not.
CONF = BeartypeConf(is_pep484_tower=True, claw_is_pep526=False)
"""An int will do for a float, as in any other type checker."""
check = beartype(conf=CONF)
