"""What a run leaves: its directory, files of points, figures on their way, tables and plots.

Knows nothing of how a run is trained. May import objective and what is below it.
"""
