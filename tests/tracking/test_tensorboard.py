"""The HParams tab, asked as TensorBoard's own page asks it, of runs whose groups differ."""

import json
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from support import composed
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.program import TensorBoard
from torch.utils.tensorboard import SummaryWriter

from housenumbers.config.values import config_to_dict
from housenumbers.tracking.tensorboard import hyperparameters, log_hyperparameters, log_scores

RUNS = {
    "a": ("threads=1", "+optimizer.note=text"),
    "b": ("optimizer=sgd", "scheduler=onecycle", "clip_grad_norm=1", "autocast=true", "model.stem_width=8"),
    "c": ("model=fastnet", "scheduler=cosine", "autocast=false", "model.freeze=2", "objective=[val_loss]"),
    "d": ("model=wide_resnet16_4", "augment=rotation", "data.use_extra=only", "+optimizer.note=3"),
    "e": ("scheduler=trapezoidal", "model.freeze=true", "model.pretrained=weights.pt", "+optimizer.note=.inf"),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a TensorBoard that shows the runs."""
    home = tmp_path_factory.mktemp("runs")
    for name, words in RUNS.items():
        with SummaryWriter(str(home / name)) as writer:
            log_hyperparameters(writer, config_to_dict(composed("data=digits", *words)), {"validation_accuracy": 0.9})
    board = TensorBoard()
    board.configure(argv=[None, f"--logdir={home}", "--port=0", "--host=127.0.0.1", "--load_fast=false"])
    url = board.launch()
    until = time.monotonic() + 60
    while len(asked(url, "session_groups")["sessionGroups"]) < len(RUNS):
        assert time.monotonic() < until
        time.sleep(0.2)
    return url


def asked(server: str, what: str, **more: Any) -> dict[str, Any]:
    """The answer of the plugin; urllib raises for any status but 200."""
    statuses = ["STATUS_SUCCESS", "STATUS_RUNNING", "STATUS_UNKNOWN", "STATUS_FAILURE"]
    request = {"experimentName": "", "allowedStatuses": statuses, "startIndex": 0, "sliceSize": 100} | more
    address = f"{server}data/plugin/hparams/{what}"
    body = json.dumps(request if what == "session_groups" else {}).encode()
    question = urllib.request.Request(address, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(question) as answer:
        found = json.loads(answer.read())
    return found if what == "experiment" else {"sessionGroups": [], **found}


def test_it_has_the_keys_of_all_runs_and_their_metrics(server: str) -> None:
    experiment = asked(server, "experiment")
    columns = {info["name"] for info in experiment["hparamInfos"]}
    for words in RUNS.values():
        assert hyperparameters(config_to_dict(composed("data=digits", *words))).keys() <= columns
    assert {"optimizer.momentum", "optimizer.betas", "scheduler.max_lr", "model.channels", "clip_grad_norm"} <= columns
    assert "hparam/validation_accuracy" in [info["name"]["tag"] for info in experiment["metricInfos"]]


def test_every_column_can_be_sorted_by(server: str) -> None:
    names = [info["name"] for info in asked(server, "experiment")["hparamInfos"]]
    for order in ("ORDER_ASC", "ORDER_DESC"):
        for name in names:
            columns = [{"hparam": other, **({"order": order} if other == name else {})} for other in names]
            assert len(asked(server, "session_groups", colParams=columns)["sessionGroups"]) == len(RUNS)


def test_a_key_has_values_of_one_type_and_none_where_there_is_none(server: str) -> None:
    groups = asked(server, "session_groups")["sessionGroups"]
    rows = {group["name"]: group["hparams"] for group in groups}
    types: dict[str, set[type]] = {}
    for row in rows.values():
        for key, value in row.items():
            types.setdefault(key, set()).add(float if type(value) is int else type(value))
    assert {key: kinds for key, kinds in types.items() if len(kinds) > 1} == {}
    assert rows["a"]["threads"] == 1
    assert "threads" not in rows["b"]
    assert [rows[name]["autocast"] for name in "abc"] == ["cuda", "true", "false"]
    assert [rows[name]["model.freeze"] for name in "ace"] == ["false", "2", "true"]
    assert rows["a"]["early_stopping.enabled"] is False
    assert (rows["a"]["optimizer.note (text)"], rows["d"]["optimizer.note"]) == ("text", 3)


def test_the_scores_are_one_table(tmp_path: Path) -> None:
    score = {"accuracy": 0.91, "loss": 0.3, "n": 1200, "per_class_accuracy": [0.9] * 9 + [None]}
    with SummaryWriter(str(tmp_path)) as writer:
        log_scores(writer, {"validation": score, "test": score | {"accuracy": 0.88}}, 3)
    events = EventAccumulator(str(tmp_path)).Reload()
    assert events.Tags()["scalars"] == []
    (text,) = events.Tensors("Final/scores/text_summary")
    table = text.tensor_proto.string_val[0].decode().splitlines()
    assert table[0] == "|  | validation (1,200) | test (1,200) |"
    assert "| accuracy | 91.00% | 88.00% |" in table
    assert "| accuracy of 9 | - | - |" in table
