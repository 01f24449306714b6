"""Training: the loop, the objects that the configuration describes, checkpoints, early stopping, reproducibility."""
