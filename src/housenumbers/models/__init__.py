"""Models: one architecture family per file. Pictures in, logits out; no word of data or training."""
