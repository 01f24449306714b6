"""Models: one architecture family per file. Images in, logits out. Independent of data and training."""
