"""Inference with a trained model: predictions for image files, and export for other programs."""
