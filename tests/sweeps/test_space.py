"""Search spaces: files of conf/search, changed by what is typed."""

import json
from pathlib import Path
from typing import Any

import optuna
import pytest
from hydra.errors import HydraException
from omegaconf import OmegaConf
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from support import ROOT, TINY, Command

from housenumbers.runtime.errors import UserError
from housenumbers.sweeps.space import Space, read_space

PARAMS = {
    "choose": {
        "optimizer": {
            "adam": {"optimizer": {"lr": "interval(0.001,0.01)"}},
            "sgd": {"optimizer": {"lr": "interval(0.01,0.1)", "momentum": "choice(0.8,0.9)"}},
        }
    },
    "data": {"batch_size": "choice(16,32)", "reduce": 0.1},
}


def drawn(space: Space, n: int = 30) -> list[dict]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    trials = [study.ask() for _ in range(n)]
    for trial in trials:
        space.draw(trial)
    return [trial.params for trial in trials]


@pytest.mark.parametrize(
    ("word", "distribution"),
    [
        ("range(1,10,3)", IntDistribution(1, 7, step=3)),
        ("range(5,21)", IntDistribution(5, 20)),
        ("range(0.1,0.5,0.1)", FloatDistribution(0.1, 0.4, step=0.1)),
        ("interval(1,10)", FloatDistribution(1, 10)),
        ("tag(log,interval(1,10))", FloatDistribution(1, 10, log=True)),
        ("choice(1,10)", CategoricalDistribution([1, 10])),
    ],
)
def test_a_range_is_without_its_stop_and_an_interval_of_real_numbers(word: str, distribution: object) -> None:
    space, _, _ = read_space({}, [f"optimizer.lr={word}"])
    assert space.always == {"optimizer.lr": distribution}


def test_an_option_s_parameters_are_drawn_with_that_option_alone() -> None:
    space, fixed, _ = read_space(PARAMS, [])
    assert fixed == {"data.reduce": "0.1"}
    samples = drawn(space)
    assert {params["optimizer"] for params in samples} == {"adam", "sgd"}
    for params in samples:
        assert ("optimizer.momentum" in params) is (params["optimizer"] == "sgd")
        low = {"adam": 0.001, "sgd": 0.01}[params["optimizer"]]
        assert low <= params["optimizer.lr"] <= 10 * low


SETTING = {"optimizer": "adam", "optimizer.lr": 0.002, "data.batch_size": 16}


@pytest.mark.parametrize(
    ("changed", "inside"),
    [
        ({}, True),
        ({"optimizer.momentum": 0.9}, True),  # not of this option
        ({"optimizer": "sgd"}, False),  # without a momentum, and with too low a learning rate
        ({"optimizer": "sgd", "optimizer.lr": 0.02, "optimizer.momentum": 0.9}, True),
        ({"optimizer": "muon"}, False),
        ({"data.batch_size": 24}, False),
        ({"optimizer.lr": 0.02}, False),
        ({"optimizer.lr": None}, False),
        ({"optimizer.lr": "auto"}, False),
    ],
)
def test_a_setting_holds_the_values_of_all_its_parameters(changed: dict, inside: bool) -> None:
    space, _, _ = read_space(PARAMS, [])
    values = SETTING | changed
    setting = space.setting(values | {"epochs": 3})
    keys = {"optimizer", "optimizer.lr", "data.batch_size"} | ({"optimizer.momentum"} & {*changed} - {*SETTING})
    if values["optimizer"] == "adam":
        keys -= {"optimizer.momentum"}
    assert setting == ({key: values[key] for key in keys} if inside else None)


def test_a_list_is_a_choice_by_its_text() -> None:
    space, _, _ = read_space({"model": {"blocks": "choice([1,1,1],[2,2,2])"}}, [])
    assert space.setting({"model.blocks": [2, 2, 2]}) == {"model.blocks": "[2,2,2]"}
    assert space.setting({"model.blocks": [3, 3, 3]}) is None


def test_null_is_a_choice_by_its_text() -> None:
    space, _, _ = read_space({}, ["clip_grad_norm=null,1"])
    assert space.setting({"clip_grad_norm": None}) == {"clip_grad_norm": "null"}
    assert space.setting({"clip_grad_norm": 1}) == {"clip_grad_norm": 1}


def test_a_key_that_the_configuration_lacks_gives_no_setting() -> None:
    space, _, _ = read_space({"optimizer": {"lr": "interval(0,1)"}}, ["+optimizer.eps=interval(0,1)"])
    assert space.setting({"optimizer.lr": 0.5}) is None


def test_a_pinned_option_keeps_what_belongs_to_it() -> None:
    space, fixed, _ = read_space(PARAMS, ["optimizer=sgd"])
    assert fixed["optimizer"] == "sgd"
    assert space.groups == {}
    assert space.always["optimizer.lr"] == FloatDistribution(0.01, 0.1)


def test_a_pinned_parameter_of_an_option_is_set_only_with_that_option() -> None:
    space, fixed, _ = read_space(PARAMS, ["optimizer.momentum=0.5"])
    assert "optimizer.momentum" not in fixed
    assert all(params.get("optimizer.momentum", "0.5") == "0.5" for params in drawn(space))


def test_options_can_be_narrowed_and_added() -> None:
    space, _, _ = read_space(PARAMS, ["optimizer=choice(sgd,adamw)"])
    assert space.groups == {"optimizer": ["sgd", "adamw"]}
    assert space.options["optimizer"]["adamw"] == {}
    assert "optimizer.momentum" in space.options["optimizer"]["sgd"]


def test_ranges_pins_and_the_last_word() -> None:
    space, fixed, removed = read_space(
        PARAMS, ["data.batch_size=range(8,33,8)", "data.reduce=0.5", "epochs=3", "epochs=range(1,4)", "~augment"]
    )
    assert space.always["data.batch_size"] == IntDistribution(8, 32, step=8)
    assert space.always["epochs"] == IntDistribution(1, 3)
    assert fixed == {"data.reduce": "0.5"}
    assert removed == ["~augment"]


@pytest.mark.parametrize("before", [[], ["optimizer.lr=0.5"], ["optimizer.lr=interval(1,2)"]])
def test_a_range_with_plus_signs_replaces_what_the_key_had(before: list[str]) -> None:
    space, fixed, _ = read_space({"optimizer": {"lr": "interval(0,1)"}}, [*before, "++optimizer.lr=interval(3,4)"])
    assert space.always == {"optimizer.lr": FloatDistribution(3, 4)}
    assert fixed == {}
    space, _, _ = read_space(PARAMS, ["++optimizer.lr=interval(3,4)"])
    assert space.always.keys() == {"data.batch_size"}
    assert space.options["optimizer"]["sgd"]["optimizer.lr"] == FloatDistribution(3, 4)


def test_a_key_that_a_plus_sign_adds_stays_so() -> None:
    space, _, _ = read_space({"optimizer": {"lr": "interval(0,1)"}}, ["+optimizer.eps=interval(0,1)"])
    assert space.keys() == {"optimizer.lr", "+optimizer.eps"}


@pytest.mark.parametrize(
    ("value", "override", "choice"),
    [
        (None, "null", "null"),
        ("/a b(c)", "'/a b(c)'", "/a b(c)"),
        ("'x, y'", "'x, y'", "x, y"),  # quoted in the file
        (0.1, "0.1", "0.1"),
    ],
)
def test_a_value_of_a_file_is_the_same_value_of_the_configuration(value: Any, override: str, choice: str) -> None:
    params = {"choose": {"optimizer": {"adam": {"key": value}}}, "key": value}
    _, fixed, _ = read_space({"key": value}, [])
    assert fixed == {"key": override}
    for space in (read_space({"choose": params["choose"]}, [])[0], read_space(params, [])[0]):
        assert space.options["optimizer"]["adam"] == {"key": CategoricalDistribution([choice])}


def test_a_range_of_a_file_that_hydra_cannot_read_is_no_text() -> None:
    with pytest.raises(HydraException):
        read_space({"lr": "interval(0.1"}, [])


@pytest.mark.parametrize(
    ("choices", "words"), [("true,1", "true and 1"), ("1,0,false", "0 and false"), ("1,2,1.0", "1 and 1.0")]
)
def test_choices_of_which_optuna_would_never_try_the_second_are_refused(choices: str, words: str) -> None:
    for params, arguments in ({"choose": {"model": {"one": {"key": choices}}}}, []), ({}, [f"key={choices}"]):
        with pytest.raises(UserError, match=f"^key: the choices {words} are equal: leave out one of them$"):
            read_space(params, arguments)
    assert read_space({}, ["key=choice('1',1,0.1,0.1)"])[0].always["key"].choices == ("1", 1, 0.1, 0.1)


@pytest.mark.parametrize("group", ["optimizer=sgd", "optimizer=choice(sgd,adam)"])
@pytest.mark.parametrize("key", ["optimizer.lr=0.05", "optimizer.lr=interval(1,2)", "+optimizer.eps=interval(1,2)"])
def test_the_order_of_a_group_and_its_keys_has_no_effect(group: str, key: str) -> None:
    one, other = (read_space(PARAMS, arguments) for arguments in ([group, key], [key, group]))
    assert one == other
    assert one[0].identity() == other[0].identity()


def test_the_last_of_several_options_of_a_group_wins() -> None:
    words = ["optimizer=sgd", "optimizer=choice(sgd,adam)"]
    assert read_space(PARAMS, words) == read_space(PARAMS, words[1:])
    assert read_space(PARAMS, words[::-1]) == read_space(PARAMS, words[:1])


def test_the_grid_wants_choices() -> None:
    assert read_space({"a": "choice(1,2)", "b": "range(0,3)"}, [])[0].grid() == {"a": (1, 2), "b": [0, 1, 2]}
    with pytest.raises(UserError, match="no intervals"):
        read_space({"a": "interval(0,1)"}, [])[0].grid()
    with pytest.raises(UserError, match="options"):
        read_space(PARAMS, [])[0].grid()


def test_equal_spaces_have_equal_identities() -> None:
    one, two = read_space(PARAMS, [])[0].identity(), read_space(PARAMS, [])[0].identity()
    assert json.dumps(one) == json.dumps(two)
    assert read_space(PARAMS, ["optimizer.momentum=0.9"])[0].identity() != one
    assert CategoricalDistribution([16, 32]).to_internal_repr(32) == 1  # choices are kept in their order


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "conf" / "search").glob("*.yaml")))
def test_every_space_of_ours_runs(name: str, command: Command) -> None:
    words = [word for word in TINY if not word.startswith(("data.batch_size", "model.width"))]
    width = "model.width=choice(4,8)" if name == "models" else "model.width=4"
    done = command(
        "train", "-m", "hydra/sweeper=optuna", f"search@hydra.sweeper.params={name}", *words, width,
        "data.reduce=0.3", "epochs=1", "hydra.sweeper.n_trials=2",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    params = OmegaConf.load(ROOT / f"conf/search/{name}.yaml")
    assert set(params) & {word.split("=")[0].split(".")[0] for word in done.stdout.split()} or name == "models"
    assert "search@" not in done.stdout


def test_an_override_that_suits_not_every_option_is_refused_before_the_first_trial(command: Command) -> None:
    done = command(
        "train", "-m", "hydra/sweeper=optuna", "search@hydra.sweeper.params=models", *TINY, "optimizer.nesterov=true"
    )
    assert done.returncode == 2
    assert "nesterov" in done.stderr.splitlines()[-1]


def test_the_grid_ends_when_each_of_its_settings_was_tried_in_however_many_calls(
    command: Command, tmp_path: Path
) -> None:
    """Optuna shuffles the grid by the seed and stores the places in this order, which another seed would change."""
    for n_trials, seed in (2, 2), (3, 2), (9, 5):
        done = command(
            "train", "-m", "hydra/sweeper=optuna", "search@hydra.sweeper.params=quick", *TINY, "epochs=1",
            "optimizer.lr=choice(0.001,0.002,0.005,0.01)", "hydra/sweeper/sampler=grid", "hydra.sweeper.study_name=s",
            f"hydra.sweeper.sampler.seed={seed}", f"hydra.sweeper.n_trials={n_trials}",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    trials = optuna.load_study(study_name="s", storage=f"sqlite:///{tmp_path}/multirun/s/study.db").trials
    assert sorted(trial.params["optimizer.lr"] for trial in trials) == [0.001, 0.002, 0.005, 0.01]


@pytest.mark.slow
def test_a_grid_is_tried_whole_after_trials_of_another_sampler(command: Command, tmp_path: Path) -> None:
    said = []
    for sampler, n_trials in ("random", 2), ("grid", 9), ("grid", 9):
        done = command(
            "train", "-m", "hydra/sweeper=optuna", "search@hydra.sweeper.params=none", *TINY, "epochs=1",
            "optimizer.lr=choice(0.001,0.002)", f"hydra/sweeper/sampler={sampler}", "hydra.sweeper.study_name=s",
            "hydra.sweeper.sampler.seed=2", f"hydra.sweeper.n_trials={n_trials}",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        said += [line for line in done.stdout.splitlines() if line.endswith(" done")]
    assert said == [f"study s: {part} trials done" for part in ("0 of 2", "2 of 4", "4 of 4")]
    trials = optuna.load_study(study_name="s", storage=f"sqlite:///{tmp_path}/multirun/s/study.db").trials
    assert sorted(trial.params["optimizer.lr"] for trial in trials[2:]) == [0.001, 0.002]


@pytest.mark.parametrize(
    "word",
    [
        "optimizer.lr=interval(0.1,0.01)",
        "optimizer.lr=tag(log,interval(0,0.01))",
        "scheduler.step_size=range(5,5)",
        "scheduler.step_size=range(1,5,0)",
        "scheduler.step_size=interval(1,2)",
        "optimizer=glob(*)",
        "optimizer.foo=interval(0,1)",
    ],
)
def test_a_range_that_cannot_be_searched_is_one_line_before_there_is_a_study(
    word: str, command: Command, tmp_path: Path
) -> None:
    done = command("train", "-m", "hydra/sweeper=optuna", *TINY, word, "hydra.sweeper.study_name=s")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert word.split("=")[0].split(".")[-1] in line
    assert not (tmp_path / "multirun/s/study.db").exists()


@pytest.mark.slow
def test_a_path_with_odd_letters_holds_its_study(command: Command, tmp_path: Path) -> None:
    words = ("optimizer.lr=interval(0.001,0.01)", "epochs=1", "hydra.sweeper.n_trials=1", "hydra.sweeper.study_name=s")
    done = command("train", "-m", "hydra/sweeper=optuna", *TINY, *words, "hydra.sweep.dir='a%20b?c#d'")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert (tmp_path / "a%20b?c#d/study.db").is_file()
    assert command("report", "study=a%20b?c#d").returncode == 0


def test_a_file_in_the_place_of_the_sweeps_folder_is_one_line(command: Command, tmp_path: Path) -> None:
    (tmp_path / "multirun").mkdir()
    (tmp_path / "multirun/s").touch()
    done = command("train", "-m", "hydra/sweeper=optuna", *TINY, "hydra.sweeper.study_name=s")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "multirun/s: File exists: a file or a broken link is where a folder has to be" in line
