"""Demo: a local page on which to try a trained model, with an image or a drawing."""
