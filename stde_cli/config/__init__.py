"""Configuration: its schema, what must hold across its fields, and the objects it describes."""
