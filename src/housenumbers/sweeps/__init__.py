"""Sweeps: the search over configurations. A run uses only the methods of `trial.Trial`."""
