"""From YAML and overrides to objects: schema, checks across fields, building.

With `cli/` the only room that sees Hydra. May import training and what is below it.
"""
