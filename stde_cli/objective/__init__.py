"""Where an equation, an estimator and a field meet: losses, points, weights, errors.

May import ansatz and what is below it.
"""
