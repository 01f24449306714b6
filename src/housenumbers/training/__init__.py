"""Training: the loop, what is built for it from the configuration, checkpoints, early stopping, repeatability."""
