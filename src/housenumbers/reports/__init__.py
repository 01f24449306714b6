"""Pages for looking instead of reading: what a data set holds, what a run learnt, in what runs differ."""
