"""Restrict a field to a few directions, then push Taylor polynomials through what is left.

`directions.py` says which directions and how they are drawn, `restriction.py` makes
g(s) = u(x + V s) of a field, `taylor/` differentiates g and plans which polynomials to push. Knows
neither operators nor equations. May import system.
"""
