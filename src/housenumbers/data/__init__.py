"""Data: where pixels come from, how they are split, and how they become augmented batches."""
