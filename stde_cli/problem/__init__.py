"""What is to be solved: domains, operators, constraints and, on top of them, equations.

A problem never names an estimator, a network or a loss. May import expressions and what is below.
"""
