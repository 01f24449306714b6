"""Files damaged one at a time, and the commands that read them: they say so, or give the answer of the whole file."""

import random
import shutil
from dataclasses import dataclass
from typing import Any

from chaos_support import damage
from chaos_support.commands import Ended, left_behind
from chaos_support.damage import Damage
from chaos_support.kills import Faults
from chaos_support.specimens import QUESTIONS, Specimens, said

_BYTES = (damage.bytes_damaged,) * 3
_SPECIAL = (damage.made_special,)
_JSON = (*_BYTES, *_SPECIAL, damage.json_edited, damage.json_edited, damage.json_edited)


@dataclass(frozen=True)
class Target:
    """Files of one kind, by a pattern; how often they are chosen; what is done to them; and who reads them.

    Their `content` may be another one (other images): then a new run is one on other data, and equals what the same
    command gives without a cache.
    """

    files: str
    weight: int
    damages: tuple[Damage, ...]
    readers: tuple[str, ...]
    content: bool = False


TARGETS = (
    Target(
        "cache/*.pt", 20, (*_BYTES, *_SPECIAL, damage.swapped_with("cache/*.pt")),
        ("train", "evaluate", "validation", "repeat", "resume", "train images", "repeat images"),
    ),
    Target(
        "svhn/*.mat", 12, (*_BYTES, *_SPECIAL, damage.swapped_with("svhn/*.mat")),
        ("train", "evaluate", "validation", "repeat", "resume"), content=True,
    ),
    Target(
        "images/*/*.png", 12, (*_BYTES, *_SPECIAL, damage.swapped_with("images/*/*.png")),
        ("train images", "evaluate images", "repeat images"), content=True,
    ),
    Target("images/*/*.png", 4, (*_BYTES, *_SPECIAL), ("predict",)),
    Target(
        "outputs/run/checkpoints/best.pt", 12,
        (*_BYTES, *_SPECIAL, damage.swapped_with("outputs/*/checkpoints/*.pt"), damage.checkpoint_crafted),
        ("evaluate", "validation", "predict", "report", "compare"),
    ),
    Target(
        "outputs/half/checkpoints/*.pt", 12,
        (*_BYTES, *_SPECIAL, damage.swapped_with("outputs/*/checkpoints/*.pt"), damage.checkpoint_crafted),
        ("resume",),
    ),
    Target(
        "outputs/run/run.json", 12, (*_JSON, damage.swapped_with("outputs/*/run.json")),
        ("table", "runs", "evaluate", "predict", "report", "compare", "repeat"),
    ),
    Target("outputs/half/run.json", 6, (*_JSON, damage.swapped_with("outputs/*/run.json")), ("table", "resume")),
    Target(
        "outputs/*/metrics.jsonl", 6, (*_JSON, damage.swapped_with("outputs/*/metrics.jsonl")),
        ("table", "report", "compare", "resume"),
    ),
    Target("outputs/run/*_test.json", 3, _JSON, ("report", "compare", "evaluate")),
    Target("outputs/half/events.out.tfevents.*", 2, (*_BYTES, *_SPECIAL), ("resume",)),
    Target("outputs/half/.hydra/*.yaml", 1, (*_BYTES, *_SPECIAL), ("resume", "table")),
    Target("outputs/half/.lock", 1, _SPECIAL, ("resume", "table")),
    Target(
        "multirun/s/study.db", 9, (*_BYTES, *_SPECIAL, *(damage.database_edited,) * 4), ("sweep", "study", "table")
    ),
    Target("multirun/s/trial_*/run.json", 2, _JSON, ("sweep", "study", "table")),
)  # fmt: skip


def mutate(specimens: Specimens, chance: random.Random) -> Faults:
    """Damages one file, asks one question that it is read for, and judges the answer."""
    (target,) = chance.choices(TARGETS, [target.weight for target in TARGETS])
    reader = chance.choice(target.readers)
    truth = specimens.truth(reader)
    specimens.restored()
    home = specimens.home
    of_the_cache = target.files.startswith("cache/")
    entries = specimens.fill_cache(reader) if of_the_cache or target.content else []
    path = chance.choice(entries if of_the_cache else sorted(home.glob(target.files)))
    do = chance.choice(target.damages)
    do(path, chance)
    ended, answer = QUESTIONS[reader].asked(home)
    what = f"{path.relative_to(home)} {do.__qualname__.partition('.')[0]}, then {reader}"
    if ended.faults:
        return [(name, f"{what}: {details}") for name, details in ended.faults]
    if left := left_behind(home, patience=0):
        return left
    if target.content and reader.startswith("train"):  # a new run, which knows of no earlier data
        unlike = _unlike_without_cache(specimens, reader, ended, answer)
        return [(name, f"{what}: {details}") for name, details in unlike]
    if ended.code or answer == truth[1] or _is_told(ended, truth[0]):
        return []
    return [("silently wrong", f"{what}: {_differing(answer, truth[1])} instead of {_differing(truth[1], answer)}")]


def _differing(answer: Any, other: Any) -> Any:
    """What of it is not in the other one, if it is a list."""
    return [each for each in answer if each not in other] if isinstance(answer, list) else answer


def _is_told(ended: Ended, usual: set[str]) -> bool:
    """Whether a command says anything that it does not say where nothing is damaged."""
    return bool(said(ended) - usual)


def _unlike_without_cache(specimens: Specimens, reader: str, ended: Ended, answer: object) -> Faults:
    """Whether the answer is that of other data than are there now: the same command without a cache tells."""
    shutil.rmtree(specimens.home / "outputs" / "new", ignore_errors=True)
    again, fresh = QUESTIONS[reader].asked(specimens.home, "data.cache=fresh")
    if (again.code, fresh) == (ended.code, answer):
        return []
    without = f"exit code {again.code}, {fresh} {again.stderr}"
    return [("silently wrong", f"exit code {ended.code}, {answer}; without a cache {without}")]
