"""From logits and labels to scores, of single digits and of whole numbers. Depends on no other package."""
