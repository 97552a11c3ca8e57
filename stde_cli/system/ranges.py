"""Numbers within limits, as annotations: the configuration is checked by what a class says.

Indices, counts and steps are 32-bit.
"""

from typing import Annotated, Any, Literal, TypeAlias

from annotated_types import Ge, Gt, Le, Lt, MinLen

_LARGEST = 2**31 - 1

Count: TypeAlias = Annotated[int, Ge(1), Le(_LARGEST)]
Whole: TypeAlias = Annotated[int, Ge(0), Le(_LARGEST)]
Seed: TypeAlias = Annotated[int, Ge(0), Le(2**32 - 1)]
Depth: TypeAlias = Annotated[int, Ge(2), Le(200)]
"""Layers: each is compiled by itself, which takes minutes from a few hundred on."""
LARGEST_WINDOW = 20
Window: TypeAlias = Annotated[int, Ge(1), Le(LARGEST_WINDOW)]
Degree: TypeAlias = Annotated[int, Ge(0), Le(12)]
Directions: TypeAlias = Annotated[int, Ge(0), Le(2)]
"""Of which polynomials are: there are as many terms as that power of their number."""
MatrixSize: TypeAlias = Annotated[int, Ge(1), Le(10_000)]
"""Rows of a full matrix that is factorised."""
Positive: TypeAlias = Annotated[float, Gt(0)]
NonNegative: TypeAlias = Annotated[float, Ge(0)]
AtLeastOne: TypeAlias = Annotated[float, Ge(1)]
ProperFraction: TypeAlias = Annotated[float, Ge(0), Lt(1)]
"""Of a whole that is never reached."""
Switch: TypeAlias = Annotated[Any, bool]
"""True or false, and no number that OmegaConf would take for one of them."""
PathText: TypeAlias = Annotated[str, MinLen(1)]
"""Of a file or directory. The empty one would be where the command is given."""
Precision: TypeAlias = Literal["float32", "float64"]
