"""Runtime: errors in one line, files written whole, signals, processes, memory, device. Knows no configuration."""
