"""Runtime: one-line errors, atomic files, signals, processes, memory, device. Independent of the configuration."""
