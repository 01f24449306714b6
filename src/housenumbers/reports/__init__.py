"""Pages for looking instead of reading: what a data set holds. May use data, evaluation and tracking."""
