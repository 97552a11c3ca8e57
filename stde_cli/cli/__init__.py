"""The command line: one file a subcommand, each a thin layer over a job.

May import every room. Errors of all of them end here, in one line and an exit status.
"""
