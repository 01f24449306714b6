"""Kills training runs and sweeps, damages files, and counts what does not hold. `--help` shows how."""

import sys
from pathlib import Path

sys.path.insert(1, str(Path(__file__).absolute().parents[1] / "src"))

if __name__ == "__main__":  # the processes that are forked import this file, but should stay without what it needs
    from chaos_support.counts import main

    main()
