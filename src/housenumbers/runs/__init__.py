"""Runs: executes, resumes and repeats a run, and runs its worker processes under torchrun."""
