"""Evaluation: metrics from logits and labels, figures from metrics. Knows nothing of how a model was trained."""
