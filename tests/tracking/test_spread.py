"""Means over seeds, and whether a difference is real."""

import json
from pathlib import Path

import pytest
from support import TINY, Command, composed

from housenumbers.config.values import config_to_dict
from housenumbers.tracking.spread import compare_means, mean_and_deviation, seed_summary


def test_mean_and_sample_standard_deviation() -> None:
    assert mean_and_deviation([0.90, 0.92, 0.94]) == "0.9200 ± 0.0200"
    assert mean_and_deviation([0.9]) == "0.9000"


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ([0.80, 0.81, 0.82], "worse (p = 0.00018)"),
        ([0.90, 0.92, 0.905], "no difference"),
        ([0.90], "needs two seeds"),
    ],
)
def test_differences_are_told_from_noise(other: list[float], said: str) -> None:
    best, others = compare_means({"a": other, "b": [0.91, 0.93, 0.92]}, "val_accuracy")
    assert best == "b"
    assert said in others["a"]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("best", "other", "said"),
    [
        ([0.9, 0.9, 0.9], [0.9, 0.9, 0.9], "equal"),
        ([0.9, 0.9, 0.9], [0.8, 0.8, 0.8], "worse in every run"),
        ([0.9, 0.9, 0.9], [0.9, 0.9, 0.89], "no difference shown (p = 0.42)"),
        ([0.9, 0.9, 0.9], [0.8, 0.8, 0.81], "worse (p = 0.0012)"),
        ([0.1 + 0.2, 0.3, 0.3], [0.3, 0.3, 0.3], "equal"),  # but for the last bits
        ([0.9 + 1e-15, 0.9, 0.9], [0.8, 0.8, 0.8], "worse in every run"),
    ],
)
def test_equal_and_nearly_equal_scores_are_judged_without_a_warning(
    best: list[float], other: list[float], said: str
) -> None:
    assert compare_means({"a": best, "b": other}, "val_accuracy") == ("a", {"b": said})


def test_a_loss_is_better_where_it_is_lower() -> None:
    assert compare_means({"a": [0.5, 0.6], "b": [0.4, 0.5]}, "val_loss")[0] == "b"


def test_more_candidates_need_stronger_evidence() -> None:
    """Two groups of noise and a slightly better one: with each further group the same difference says less."""
    groups = {"best": [0.920, 0.930, 0.925], "other": [0.910, 0.918, 0.914]}
    assert "worse" in compare_means(groups, "val_accuracy")[1]["other"]
    many = groups | {str(number): [0.900, 0.910, 0.915] for number in range(4)}
    assert "no difference" in compare_means(many, "val_accuracy")[1]["other"]


def test_a_multirun_over_seeds_ends_with_their_spread(command: Command) -> None:
    done = command("train", "-m", "seed=1,2", "optimizer=adam,sgd", *TINY, "epochs=1")
    assert done.returncode == 0, done.stderr
    head, *groups = done.stdout.splitlines()[-3:]
    assert "the spread over seeds (val_accuracy" in head
    assert sorted(line.split(":")[0].strip() for line in groups) == ["optimizer=adam", "optimizer=sgd"]
    assert all("±" in line and "n = 2" in line for line in groups)
    assert f"; against {groups[0].split(':')[0].strip()}: " in groups[1]
    assert "best:" not in groups[1]


def test_without_validation_it_is_the_spread_of_the_test_accuracy(command: Command) -> None:
    done = command("train", "-m", "seed=1,2", *TINY, "epochs=1", "data.val_fraction=0")
    assert done.returncode == 0, done.stderr
    head, line = done.stdout.splitlines()[-2:]
    assert "test accuracy" in head
    assert "all runs: 0." in line


def test_a_multirun_without_repeated_seeds_says_nothing_of_spread(command: Command) -> None:
    done = command("train", "-m", "optimizer=adam,sgd", *TINY, "epochs=1")
    assert "spread" not in done.stdout


def write_runs(home: Path, *pairs: tuple[tuple[str, ...], float]) -> None:
    """A completed run for each pair of overrides and an accuracy, as a multirun writes them."""
    for number, (words, accuracy) in enumerate(pairs):
        config = composed("data=digits", *words)
        record = {
            "status": "completed", "seed": config.seed, "config": config_to_dict(config), "train_seconds": 1.0,
            "best": {"epoch": 1, "val_accuracy": accuracy, "val_loss": 1.0}, "test": {"n": 9, "accuracy": accuracy},
        }  # fmt: skip
        (home / str(number) / ".hydra").mkdir(parents=True)
        (home / str(number) / ".hydra" / "overrides.yaml").write_text(json.dumps(words))
        (home / str(number) / "run.json").write_text(json.dumps(record))


def test_what_changes_no_results_may_differ_within_a_group(tmp_path: Path) -> None:
    """The logger has the name of the run, which has the seed."""
    runs = [
        ((f"seed={seed}", "name=run_${seed}", "logger=mlflow"), accuracy) for seed, accuracy in ((1, 0.5), (2, 0.75))
    ]
    write_runs(tmp_path / "loggers", *runs)
    assert "  all runs: 0.6250 ± 0.1768" in seed_summary(tmp_path / "loggers")[1]
    write_runs(tmp_path / "cache", (("seed=1", "data.cache=a"), 0.5), (("seed=2", "data.cache=b", "logger=csv"), 0.75))
    assert "  all runs: 0.6250 ± 0.1768" in seed_summary(tmp_path / "cache")[1]


def test_runs_on_other_data_are_another_group(tmp_path: Path) -> None:
    write_runs(tmp_path, *(((f"seed={seed}", f"data.root={root}"), 0.5) for root in ("a", "b") for seed in (1, 2)))
    assert [line.split(":")[0] for line in seed_summary(tmp_path)[1:]] == ["  data.root=a", "  data.root=b"]


@pytest.mark.slow
def test_runs_of_one_seed_are_not_counted_as_independent(command: Command) -> None:
    done = command("train", "-m", "seed=1,1,2", "name=a,b", *TINY, "epochs=1")
    assert done.returncode == 0, done.stderr
    assert "n = 2" in done.stdout.splitlines()[-1]


@pytest.mark.slow
def test_groups_are_kept_apart_where_hydra_does_not_save_what_was_typed(command: Command) -> None:
    done = command("train", "-m", *TINY, "seed=1,2", "epochs=1,2", "hydra.output_subdir=null")
    assert done.returncode == 0, done.stderr
    assert ["n = 2" in line for line in done.stdout.splitlines()[-2:]] == [True, True]


DIVERGING = ("optimizer=sgd", *TINY, "epochs=1")


def test_runs_that_diverge_are_counted_and_named_with_their_reason(command: Command) -> None:
    done = command("train", "-m", *DIVERGING, "seed=1,2", "optimizer.lr=0.01,1e30")
    assert done.returncode == 2
    head, good, bad, failed, first, second = done.stdout.splitlines()[-6:]
    assert "the spread over seeds" in head
    assert good.startswith("  optimizer.lr=0.01: 0.")
    assert good.endswith("n = 2")
    assert bad == "  optimizer.lr=1e+30: none completed; 2 of 2 runs failed"
    assert failed == "failed runs, left out of all means:"
    for line, number, seed in ((first, 1, 1), (second, 3, 2)):
        assert line.startswith(f"  {number}_seed={seed}_optimizer.lr=1e+30: training loss in epoch 1: ")
        assert "not a finite number" in line


@pytest.mark.slow
def test_a_group_in_which_some_runs_fail_says_how_many(command: Command, tmp_path: Path) -> None:
    """One that completed is made one that failed, as none diverges for its seed alone."""
    done = command("train", "-m", *TINY, "epochs=1", "seed=1,2,3", "hydra.sweep.dir=runs")
    assert done.returncode == 0, done.stderr
    file = tmp_path / "runs/1_seed=2/run.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"status": "failed", "best": None, "error": "nan"}))
    _, group, _, line = seed_summary(tmp_path / "runs")
    assert group.endswith("n = 2; 1 of 3 runs failed")
    assert line == "  1_seed=2: nan"


def test_failed_runs_are_named_where_no_seed_is_repeated_too(command: Command) -> None:
    done = command("train", "-m", *DIVERGING, "optimizer.lr=1e30,1e31")
    assert done.returncode == 2
    assert "spread" not in done.stdout
    assert [line.split(":")[0] for line in done.stdout.splitlines()[-2:]] == [
        "  0_optimizer.lr=1e+30", "  1_optimizer.lr=1e+31",
    ]  # fmt: skip


def test_a_damaged_record_has_no_part_in_the_means(tmp_path: Path) -> None:
    for name in ("0", "1", "2"):
        (tmp_path / name / ".hydra").mkdir(parents=True)
        (tmp_path / name / ".hydra" / "overrides.yaml").write_text("{: not yaml")
        (tmp_path / name / "run.json").write_text("[" * 100_000)
    assert seed_summary(tmp_path) == []
