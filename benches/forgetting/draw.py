"""Plots as SVG. Standard library only."""
