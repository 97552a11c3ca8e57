"""What every room leans on: errors, signals, memory, versions, random bits, names of shapes.

Imports nothing of the package.
"""
