"""Inference: a trained model at work: on image files, on corrupted images, and exported for other programs."""
