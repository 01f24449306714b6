"""How far searches are from a table's best setting, over time: tables and figures of replay.py."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.stats import trim_mean
from surrogate import Floats, Surrogate

STOCK = "stock"
_BOOTSTRAPS = 1000


class Found(NamedTuple):
    """The regret of a search from `seconds` on: the best setting's true accuracy less that of its best completed trial.

    Before the first completed trial the regret is that of guessing.
    """

    seconds: list[float]
    regret: list[float]
    completed: list[float]  # when each trial was completed


def regrets(surrogate: Surrogate, found: Sequence[Found], at: Floats) -> Floats:
    """The regret of each search at these seconds, `[searches, seconds]`."""
    worst = float(surrogate.best - surrogate.guessing)
    rows = []
    for one in found:
        index = np.searchsorted(one.seconds, at, side="right")
        rows.append(np.array([worst, *one.regret])[index])
    return np.stack(rows)


def first_below(at: Floats, iqm: Floats, target: float) -> float:
    """The first of the seconds `at` with a regret of at most `target`. Infinite where there is none."""
    below = np.flatnonzero(iqm <= target + 1e-12)  # the mean of equal numbers depends on the order
    return float(at[below[0]]) if len(below) else float("inf")


def compare(
    surrogate: Surrogate, found: Mapping[str, Sequence[Found]], trials: Sequence[int], until: float, seed: int = 0
) -> list[str]:
    """A table: the regret at the end, and when each search reaches the regret of the stock one after so many trials."""
    at = np.geomspace(until / 1000, until, 500)
    matrices = {name: regrets(surrogate, searches, at) for name, searches in found.items()}
    columns = [f"stock's regret after {number} trials: time, stock / this" for number in trials]
    lines = [
        f"| search | regret after {until:,.0f} s | {' | '.join(columns)} |",
        f"| --- | --- |{' --- |' * len(columns)}",
    ]
    rng = np.random.default_rng(seed)
    draws = rng.integers(len(found[STOCK]), size=(_BOOTSTRAPS, len(found[STOCK])))
    moments = [_moment(found[STOCK], number) for number in trials]
    for name, matrix in matrices.items():
        finals = [trim_mean(matrix[draw, -1], 0.25) for draw in draws]
        cells = [f"{trim_mean(matrix[:, -1], 0.25):.2%} ({_interval(finals, '.2%')})"]
        for moment in moments:
            if moment > until:
                cells.append("not measured")
                continue
            whole = _ratio(at, matrices[STOCK], matrix, moment)
            ratios = [_ratio(at, matrices[STOCK][draw], matrix[draw], moment) for draw in draws]
            cells.append(f"{whole:.2f} ({_interval(ratios, '.2f')})")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def _moment(stock: Sequence[Found], number: int) -> float:
    """When the stock search has completed so many trials: the median. Infinite where most have not."""
    times = [one.completed[number - 1] if len(one.completed) >= number else float("inf") for one in stock]
    return float(np.median(times))


def _ratio(at: Floats, stock: Floats, other: Floats, moment: float) -> float:
    """How many times sooner `other` reaches the regret that `stock` has at `moment`. 0 where it never does."""
    target = float(trim_mean(stock[:, np.searchsorted(at, moment, side="right") - 1], 0.25))
    stocks, others = (first_below(at, trim_mean(matrix, 0.25, axis=0), target) for matrix in (stock, other))
    return stocks / others


def _interval(values: Sequence[float], form: str) -> str:
    low, high = np.percentile(values, [2.5, 97.5])
    return f"{low:{form}}..{high:{form}}"


def draw(surrogate: Surrogate, found: Mapping[str, Sequence[Found]], until: float, title: str, file: Path) -> None:
    """The interquartile mean of the regret over time, with bootstrapped intervals of 95 %."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    at = np.geomspace(until / 200, until, 200)
    figure = Figure(figsize=(7.2, 4.4))
    axes = figure.add_axes((0.11, 0.12, 0.62, 0.78))
    axes.set_prop_cycle(color=colormaps["tab10" if len(found) <= 10 else "tab20"].colors)
    rng = np.random.default_rng(0)
    for name, searches in found.items():
        matrix = regrets(surrogate, searches, at)
        draws = rng.integers(len(searches), size=(200, len(searches)))
        boot = np.stack([trim_mean(matrix[one], 0.25, axis=0) for one in draws])
        low, high = np.percentile(boot, [2.5, 97.5], axis=0)
        style = {"color": "black", "lw": 2.2} if name == "ours" else {"lw": 1.2}
        line = axes.plot(at, trim_mean(matrix, 0.25, axis=0), label=name, **style)[0]
        axes.fill_between(at, low, high, color=line.get_color(), alpha=0.15, lw=0)
    axes.set(xscale="log", yscale="log", xlabel="seconds, simulated", ylabel="regret, interquartile mean", title=title)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))  # labels also where all is within a decade
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.3, which="both")
    axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1))
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=120, bbox_inches="tight")
