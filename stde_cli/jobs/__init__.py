"""What a command does once its configuration stands: solve, read a run back, plan, measure.

May import config and what is below it. `cli/` calls these; so may a program.
"""
