"""A run as a small checkpoint: what it holds, that it is used as the run is, and that it repeats to the byte."""

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
import torch
from networks import as_if_it_had_learnt, sure, weights_of
from support import NUMBERS, Command, run_in
from torch import Tensor

from housenumbers.config.values import flatten, without_machine_keys
from housenumbers.data.digits import read_digits
from housenumbers.evaluation.score import load_part
from housenumbers.evaluation.trained_model import load_trained_model, rebuild_model
from housenumbers.prediction.export_formats import SUFFIXES
from housenumbers.prediction.export_weights import small_checkpoint
from housenumbers.training.checkpoint import load_checkpoint, save_checkpoint

# The recipes of the weights that come with the code, in seconds.
SMALL = {
    "pretrained_digits": ("model.channels=[8,8,8]", "data.size=600", "data.val_fraction=0.2", "epochs=1"),
    "pretrained_numbers": (*NUMBERS[1:3], "data.size=200", "data.val_fraction=0.2", "epochs=1"),
}


@pytest.fixture(scope="module")
def good(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose network tells images apart."""
    best = finished / "checkpoints/best.pt"
    model = rebuild_model(load_checkpoint(best), best, torch.device("cpu"))
    weights = sure(model, read_digits(None, "test")[0].images[:100]).state_dict()  # type: ignore[arg-type]
    home = tmp_path_factory.mktemp("good")
    return as_if_it_had_learnt(finished, home / "outputs/day/good", weights, "name=good")


def test_it_is_taken_as_the_run_is_and_has_its_labels(good: Path, tmp_path: Path, command: Command) -> None:
    done = command("export", f"run={good}", "format=weights", "file=new/small.pt")
    assert done.returncode == 0, done.stderr
    file = tmp_path / "new/small.pt"
    told = re.search(r"checked on all (\d+) images of the validation part: (\d) of \1 labels differ", done.stdout)
    assert told is not None
    assert int(told[2]) <= 1
    assert re.search(r"\n  sha256 +[0-9a-f]{64}\n", done.stdout)
    run, small = load_trained_model(good), load_trained_model(file)
    part = load_part(run, "validation").data
    one, two = run.predict(part)[0], small.predict(part)[0]
    margin = one.topk(2, dim=1).values.softmax(dim=1).diff(dim=1)[:, 0].abs()
    clear = margin > 0.04
    assert clear.float().mean() > 0.5
    assert (one.argmax(dim=1) == two.argmax(dim=1))[clear].all()
    assert small.calibration == run.calibration
    assert small.parameters == run.parameters
    for verb in (["evaluate", "split=validation"], ["export", "format=torch"]):
        used = command(verb[0], f"run={file}", *verb[1:])
        assert used.returncode == 0, used.stderr
    begun = command("train", *_words(run.content["config"]), f"model.pretrained={file}", "epochs=1")
    assert begun.returncode == 0, begun.stderr


def _words(config: dict[str, object]) -> list[str]:
    """The command line of the run `finished`, or nearly: of its network."""
    flat = flatten(config)
    shape = [f"model.{key}={flat[f'model.{key}']}".replace(" ", "") for key in ("width", "blocks")]
    return ["data=digits", "data.reduce=0.3", *shape, "threads=1"]


def test_it_holds_what_predictions_need_and_nothing_of_the_run_or_the_machine(good: Path) -> None:
    whole = load_checkpoint(good / "checkpoints/best.pt")
    small = small_checkpoint(whole)
    assert set(small) == {"config", "calibration", "data_sha256", "record", "model"}
    flat = flatten(small["config"])
    assert [flat[key] for key in ("device", "threads", "data.root", "data.cache")] == ["auto", None, "data", None]
    assert without_machine_keys(small["config"]) == without_machine_keys(whole["config"])
    assert whole["config"]["threads"] == 1  # the run's own content stays
    assert "seconds" not in small["record"]
    for name, tensor in whole["model"].items():
        kept: Tensor = small["model"][name]
        assert kept.dtype == (torch.float16 if tensor.ndim > 1 else tensor.dtype)
        torch.testing.assert_close(kept.to(tensor.dtype), tensor, rtol=2**-11, atol=1e-7)


def test_of_files_that_the_run_was_made_from_it_has_just_the_names(good: Path) -> None:
    whole = load_checkpoint(good / "checkpoints/best.pt")
    for pretrained, kept in (("/home/me/net.pt", "net.pt"), ("run:/home/me/first", "run:first"), (True, True)):
        config = {**whole["config"], "model": {**whole["config"]["model"], "pretrained": pretrained}}
        config["data"] = {**config["data"], "fonts": "/home/me/fonts"}
        small = small_checkpoint({**whole, "config": config})
        assert small["config"]["model"]["pretrained"] == kept
        assert small["config"]["data"]["fonts"] == "fonts"
    assert small_checkpoint(whole)["config"]["data"]["fonts"] == whole["config"]["data"]["fonts"] == ""


def test_equal_weights_give_equal_bytes_wherever_the_run_lies_and_again_from_the_file(
    good: Path, tmp_path: Path, command: Command
) -> None:
    for place in ("one", "two/deeper"):
        shutil.copytree(good, tmp_path / place)
        done = command("export", f"run={place}", "format=weights")
        assert done.returncode == 0, done.stderr
    written = (tmp_path / "one/model.pt").read_bytes()
    assert (tmp_path / "two/deeper/model.pt").read_bytes() == written
    done = command("export", "run=one/model.pt", "format=weights", "file=again.pt")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "again.pt").read_bytes() == written
    assert str(tmp_path).encode() not in written


@pytest.mark.parametrize("factor", [1e7, float("nan")])
def test_weights_that_float16_does_not_hold_are_refused(
    factor: float, finished: Path, tmp_path: Path, command: Command
) -> None:
    run = shutil.copytree(finished, tmp_path / "run")
    (run / "run.json").unlink()  # which has the hash of its weights
    content = load_checkpoint(run / "checkpoints/best.pt")
    content["model"] = weights_of(finished)
    content["model"]["head.weight"] *= factor
    save_checkpoint(tmp_path / "large.pt", content)
    done = command("export", "run=large.pt", "format=weights", "file=small.pt")
    assert done.returncode == 2
    assert "small.pt: not written: its weights exceed the range of float16" in done.stderr
    assert not list(tmp_path.glob("*small*"))


@pytest.mark.parametrize("name", ["best.pt", "last.pt"])
def test_a_runs_own_checkpoints_are_not_replaced(name: str, good: Path, command: Command) -> None:
    done = command("export", f"run={good}", "format=weights", f"file={good}/checkpoints/{name}")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f"checkpoints/{name}: is a run's own" in line


@pytest.mark.parametrize("form", ["onnx", "torch", "weights"])
def test_the_checkpoint_that_is_read_is_not_replaced(
    form: str, finished: Path, tmp_path: Path, command: Command
) -> None:
    source = tmp_path / f"model{SUFFIXES[form]}"
    shutil.copy(finished / "checkpoints/best.pt", source)
    (tmp_path / "link").symlink_to(tmp_path)
    done = command("export", f"run={source}", f"format={form}", f"file={tmp_path}/link/{source.name}")
    assert done.returncode == 2
    assert f"{source.name}: is the checkpoint that is to be exported" in done.stderr.splitlines()[-1]
    assert source.read_bytes() == (finished / "checkpoints/best.pt").read_bytes()


def test_the_printed_command_is_one_for_a_shell(good: Path, command: Command) -> None:
    done = command("export", f"run={good}", "format=weights", "file=my own/a b.pt")
    assert done.returncode == 0, done.stderr
    assert "run=my own/a b.pt" in shlex.split(done.stdout.splitlines()[-1])


def test_a_reader_of_numbers_reads_from_it(numbers_run: Path, tmp_path: Path, command: Command) -> None:
    done = command("export", f"run={numbers_run}", "format=weights", "file=reader.pt")
    assert done.returncode == 0, done.stderr
    assert "python src/read.py run=reader.pt images=IMAGES" in done.stdout
    assert load_trained_model(tmp_path / "reader.pt").config.data.has_numbers


@pytest.mark.slow
@pytest.mark.parametrize("recipe", SMALL)
def test_the_recipes_repeat_to_the_byte_in_another_folder(recipe: str, tmp_path: Path) -> None:
    written = []
    for place in ("one", "two"):
        home = tmp_path / place
        home.mkdir()
        trained = run_in(home, "train", f"experiment={recipe}", *SMALL[recipe], f"hydra.run.dir={place}")
        assert trained.returncode == 0, trained.stderr
        record = json.loads((home / place / "run.json").read_text())
        assert record["calibration"]["n"] == (120 if recipe == "pretrained_digits" else 40)  # its own rendered part
        done = run_in(home, "export", f"run={place}", "format=weights", "file=small.pt")
        assert done.returncode == 0, done.stderr
        written.append((home / "small.pt").read_bytes())
    assert written[0] == written[1]
