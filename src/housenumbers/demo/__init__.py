"""Demo: a local page on which to try a trained model, with a picture or a drawing."""
