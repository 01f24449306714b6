"""Tracking: what a run writes down, and the index over what all runs have written."""
