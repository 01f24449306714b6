"""What a benchmark has measured already, a line for each finished run: so the same command goes on after a kill."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Notes:
    """The results of runs by what describes them, in a file of JSON lines to which each new one is appended."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._results: dict[str, Any] = {}
        for line in file.read_text().splitlines() if file.exists() else []:
            try:
                noted = json.loads(line)
            except json.JSONDecodeError:  # half a line, which a kill may leave
                continue
            result = noted.pop("result")
            self._results[_key(noted)] = result

    def get(self, run: dict[str, Any]) -> Any:
        """What is noted of the run, or None."""
        return self._results.get(_key(run))

    def result(self, run: dict[str, Any], measure: Callable[[], Any]) -> Any:
        """What is noted of the run, or else what `measure` gives, which is noted then."""
        key = _key(run)
        if key not in self._results:
            self._results[key] = measure()
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("a") as opened:  # a line of its own, whatever was cut off before it
                opened.write(f"\n{json.dumps({**run, 'result': self._results[key]})}")
        return self._results[key]


def _key(run: dict[str, Any]) -> str:
    return json.dumps(run, sort_keys=True)
