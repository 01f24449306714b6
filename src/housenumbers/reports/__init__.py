"""Pages about a data set, about a run, and about the differences between runs."""
