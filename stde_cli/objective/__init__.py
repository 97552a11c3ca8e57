"""Where an equation, an estimator and a field meet: the residual, and what is made of it.

Losses, points, weights, errors.

May import ansatz and what is below it.
"""
