"""Evaluation: loads trained models with the code of `training`, scores and calibrates them, and draws figures."""
