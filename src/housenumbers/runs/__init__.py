"""Runs: one run from its configuration to its results, resumed, repeated, and its other processes under torchrun."""
