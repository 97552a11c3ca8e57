"""Figures of runs as tables and plots."""
