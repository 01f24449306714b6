"""Evaluation: metrics from logits and labels, figures from metrics. Independent of training."""
