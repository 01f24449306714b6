"""Whose search space counts: the file's, a preset's or the command line's; and what would be searched in vain."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra.core.config_loader import ConfigLoader
from hydra.core.plugins import Plugins
from hydra.types import RunMode
from support import ROOT, TINY, run_in

from housenumbers.config.schema import register_schemas
from housenumbers.runtime.errors import UserError
from housenumbers.sweeps.presets import Params, search_params

PRESETS: dict[str, Any] = {
    "own_space": {"hydra": {"sweeper": {"params": {"optimizer": {"lr": "interval(0.1,0.2)"}}}}},
    "own_part": {"data": {"reduce": 0.5}},
    "all_data": {"data": {"reduce": 1.0}},
    "own_rate": {"optimizer": {"lr": 0.1}},
    "own_path": {"data": {"root": "elsewhere"}},
}
SEARCHES: dict[str, Any] = {
    "list": {"optimizer": {"lr": "0.001,0.02"}},
    "nested_where": {"data": {"reduce": 0.1, "batch_size": 8}, "where": {"data": {"reduce": "data=svhn"}}},
    "path": {"data": {"root": "/a b(c)"}},
}


@pytest.fixture(scope="module")
def loader(tmp_path_factory: pytest.TempPathFactory) -> ConfigLoader:
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra._internal.utils import create_config_search_path

    register_schemas()
    Plugins.instance()
    more = tmp_path_factory.mktemp("more")
    (more / "experiment").mkdir()
    for name, content in PRESETS.items():
        (more / f"experiment/{name}.yaml").write_text("# @package _global_\n" + yaml.safe_dump(content))
    (more / "search").mkdir()
    for name, content in SEARCHES.items():
        (more / f"search/{name}.yaml").write_text(yaml.safe_dump(content))
    nested = "# @package _global_\ndefaults: [own_part, _self_]\nepochs: 2\n"
    (more / "experiment/nested.yaml").write_text(nested)
    on_digits = "# @package _global_\ndefaults: [{override /data: digits}]\n"
    (more / "experiment/on_digits.yaml").write_text(on_digits)
    path = create_config_search_path(str(ROOT / "conf"))
    path.append("tests", str(more))
    return ConfigLoaderImpl(config_search_path=path)


def params(loader: ConfigLoader, *words: str) -> Params:
    composed = loader.load_configuration("train", ["hydra/sweeper=optuna", *words], RunMode.MULTIRUN)
    return search_params(loader, composed)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ([], 0.1),
        (["data=digits"], None),
        (["data=svhn_6k"], None),
        (["data=svhn,digits"], None),
        (["data=choice(svhn,digits)"], None),
        (["experiment=quickstart"], None),
        (["experiment=run2_batch16"], None),
        (["experiment=run8_tl_frozen_v2"], None),
        (["experiment=own_part"], None),
        (["experiment=nested"], None),
        (["experiment=all_data"], None),
        (["+experiment=[own_rate,own_part]"], None),
        (["experiment=own_rate"], 0.1),
        (["experiment=on_digits"], None),
        (["experiment=choice(own_rate,on_digits)"], None),
        (["experiment=choice(own_rate)"], 0.1),
        (["experiment=own_rate,nested"], None),
        (["optimizer=choice(adam,sgd)"], 0.1),
        (["experiment=own_part", "hydra.sweeper.params.data.reduce=0.3"], 0.3),
        (["search@hydra.sweeper.params=models"], 0.1),
        (["search@hydra.sweeper.params=models", "data=digits"], None),
        (["search@hydra.sweeper.params=models", "experiment=own_part"], None),
        (["search@hydra.sweeper.params=quick"], None),
    ],
)  # fmt: skip
def test_a_tenth_of_svhn_alone_and_a_presets_part_wins(
    loader: ConfigLoader, words: list[str], part: float | None
) -> None:
    found = params(loader, *words)
    assert found.from_file
    assert found.params.get("data.reduce") == part
    assert "optimizer.lr" in found.params or "choose" in found.params


def test_a_presets_own_space_replaces_the_files(loader: ConfigLoader) -> None:
    own = params(loader, "experiment=own_space")
    assert own == Params({"optimizer.lr": "interval(0.1,0.2)"}, from_file=False)
    more = params(loader, "experiment=own_space", "+hydra.sweeper.params.seed='range(1,3)'")
    assert more.params == {"optimizer.lr": "interval(0.1,0.2)", "seed": "range(1,3)"}


def test_a_file_that_is_typed_replaces_a_presets_space(loader: ConfigLoader) -> None:
    typed = "search@hydra.sweeper.params=quick"
    assert params(loader, "experiment=own_space", typed) == params(loader, typed)
    changed = [typed, "hydra.sweeper.params.optimizer.lr='interval(1,2)'"]
    assert params(loader, "experiment=own_space", *changed).params == {"optimizer.lr": "interval(1,2)"}


def test_a_range_of_the_file_is_searched_though_a_preset_has_a_value(loader: ConfigLoader) -> None:
    assert "interval" in params(loader, "experiment=own_rate").params["optimizer.lr"]


def test_a_list_with_commas_is_a_range_and_a_bracket_in_a_path_is_none(loader: ConfigLoader) -> None:
    found = params(loader, "search@hydra.sweeper.params=list", "experiment=own_rate")
    assert found.params == {"optimizer.lr": "0.001,0.02"}
    assert params(loader, "search@hydra.sweeper.params=path", "experiment=own_path").params == {}


def test_a_condition_may_be_nested(loader: ConfigLoader) -> None:
    found = params(loader, "search@hydra.sweeper.params=nested_where", "data=digits")
    assert found.params == {"data.batch_size": 8}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("choose=[adam,sgd]", "choose=['adam', 'sgd']: must be keys and values"),
        (
            "choose={optimizer: [adam,sgd]}",
            "choose.optimizer=['adam', 'sgd']: must be options and what is searched with each, such as "
            "{adam: {}, sgd: {}}",
        ),
        ("choose={optimizer: 'choice(adam,sgd)'}", "choose.optimizer=choice(adam,sgd): must be options"),
        ("choose={optimizer: {}}", "choose.optimizer={}: must be options"),
        ("choose={optimizer: {adam: 3}}", "choose.optimizer.adam=3: must be keys and ranges, or {}"),
        ("where=data", "where=data: must be keys and values"),
        ("where={data.reduce: svhn}", "where.data.reduce=svhn: must be GROUP=OPTION, such as data=svhn"),
    ],
)
def test_a_space_of_another_shape_is_one_line(loader: ConfigLoader, wrong: str, message: str) -> None:
    with pytest.raises(UserError) as raised:
        params(loader, "search@hydra.sweeper.params=none", f"+hydra.sweeper.params.{wrong}")
    assert str(raised.value).startswith(f"hydra.sweeper.params.{message}")
    assert "\n" not in str(raised.value)


def test_nothing_but_what_is_typed(loader: ConfigLoader) -> None:
    assert params(loader, "search@hydra.sweeper.params=none").params == {}


def said(home: Path, *words: str) -> list[str]:
    """What a search says before it begins its trials, which it is not let to do."""
    refused = ("hydra.sweeper.study_name=s", "hydra.sweeper.storage=sqlite:////nowhere/s.db")
    done = run_in(home, "train", "-m", "hydra/sweeper=optuna", *TINY, *words, *refused)
    assert done.returncode == 2
    return done.stdout.splitlines()


@pytest.mark.slow
def test_what_is_searched_in_vain_is_said(tmp_path: Path) -> None:
    (line,) = said(tmp_path, "epochs=2")
    assert line.startswith("searched without effect: scheduler.step_size, scheduler.gamma: ")
    assert 'after 5 epochs at the earliest, and epochs=2: narrow it: "scheduler.step_size=range(1,2)"' in line
    (line,) = said(tmp_path, "epochs=7", "scheduler.step_size=choice(8,7)")
    assert "after 7 epochs at the earliest" in line
    (line,) = said(tmp_path, "epochs=3", "scheduler.step_size=3")
    assert line.startswith("searched without effect: scheduler.gamma: ")
    assert said(tmp_path, "epochs=6") == []
    assert said(tmp_path, "epochs=6", "scheduler.step_size=5") == []


def test_keys_that_the_chosen_scheduler_lacks_are_not_searched(tmp_path: Path) -> None:
    (line,) = said(tmp_path, "scheduler=cosine")
    assert line == "not searched: scheduler.gamma, scheduler.step_size: scheduler=cosine has no such key"
