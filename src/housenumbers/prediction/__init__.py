"""Inference: a trained model at work: on picture files, on corrupted pictures, and exported for other programs."""
