"""Sweeps: the search over configurations. A run knows nothing of it but the two questions of `trial.Trial`."""
