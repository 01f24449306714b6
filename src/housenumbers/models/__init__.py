"""Models: one architecture family per file. Images in, logits out; no word of data or training."""
