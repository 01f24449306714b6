"""Runs from Python: equal to those of the command, again and again in one process, and in a thread."""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from support import ROOT, TINY, Command, environment

import housenumbers
from housenumbers.data.digits import read_digits
from housenumbers.runtime.errors import UserError


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files_of(folder: Path) -> set[str]:
    names = {str(file.relative_to(folder)) for file in folder.rglob("*")}
    return {name for name in names if "tfevents" not in name}


@pytest.mark.usefixtures("home")
def test_a_run_is_that_of_the_command(command: Command) -> None:
    done = command("train", *TINY, "hydra.run.dir=outputs/command")
    assert done.returncode == 0, done.stderr
    handler = signal.getsignal(signal.SIGINT)
    run = housenumbers.train([*TINY, "hydra.run.dir=outputs/python"])
    theirs = housenumbers.open_run("outputs/command")
    assert run.record["weights_sha256"] == theirs.record["weights_sha256"]
    assert files_of(run.folder) == files_of(theirs.folder)
    assert run.config == theirs.config
    for name in ("config", "overrides"):
        texts = [(one.folder / ".hydra" / f"{name}.yaml").read_text() for one in (run, theirs)]
        assert texts[0] == texts[1].replace("outputs/command", "outputs/python")
    without = [[{**epoch, "seconds": 0} for epoch in one.history] for one in (run, theirs)]
    assert without[0] == without[1]
    assert signal.getsignal(signal.SIGINT) is handler
    assert not GlobalHydra.instance().is_initialized()
    assert HydraConfig.instance().cfg is None


@pytest.mark.usefixtures("home")
def test_a_program_s_own_log_hears_of_a_run_and_stays() -> None:
    heard: list[str] = []

    class Heard(logging.StreamHandler):  # type: ignore[type-arg]
        def emit(self, record: logging.LogRecord) -> None:
            heard.append(record.getMessage())

    log, mine = logging.getLogger("housenumbers"), Heard()  # of standard error
    log.addHandler(mine)
    before = log.level, log.propagate, list(log.handlers)
    try:
        housenumbers.train([*TINY, "epochs=1"])
        assert (log.level, log.propagate, log.handlers) == before
    finally:
        log.removeHandler(mine)
    assert any(line.startswith("epoch 1/1") for line in heard)


def test_a_loaded_model_leaves_the_threads_of_later_runs_as_they_are(tmp_path: Path) -> None:
    code = (
        "import sys, housenumbers\n"
        "housenumbers.load_model(threads=1)\n"
        "print(housenumbers.train(sys.argv[1:]).record['threads'])"
    )
    words = ["model=fastnet", "model.channels=[4,8]", "model.convolutions=[1,1]", "data=digits", "epochs=1"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=tmp_path, env=environment(OMP_NUM_THREADS="2"), capture_output=True,
        text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "2", done.stdout


def test_runs_follow_one_another_and_are_listed(home: Path) -> None:
    first, second = (housenumbers.train([*TINY, "epochs=1", f"seed={seed}"]) for seed in (1, 2))
    assert first.folder.parent.parent == home / "outputs"
    assert first.folder != second.folder
    assert {row["folder"] for row in housenumbers.list_runs()} == {
        str(run.folder.relative_to(home)) for run in (first, second)
    }
    (row,) = housenumbers.list_runs("seed=2", "status=completed")
    assert row["test.accuracy"] == second.scores["test"]["accuracy"]
    assert row["config.optimizer.lr"] == 0.0013
    assert housenumbers.open_run("last").folder.absolute() == second.folder
    with pytest.raises(housenumbers.UserError, match="optimzer"):
        housenumbers.list_runs("optimzer.lr=1")
    shutil.copytree(first.folder, home / "last")
    assert housenumbers.open_run(Path("last")).model().file == home / "last/checkpoints/best.pt"


@pytest.mark.usefixtures("home")
def test_a_run_tells_what_it_holds() -> None:
    run = housenumbers.train([*TINY, "epochs=2"])
    assert repr(run).startswith(f"<Run {run.folder}: completed, ")
    assert [epoch["epoch"] for epoch in run.history] == [1, 2]
    assert set(run.scores) == {"validation", "test"}
    assert "confusion_test" in run.figures
    assert all(file.stat().st_size > 1000 for file in run.figures.values())
    assert run.model().config == run.config
    assert [epoch["epoch"] for epoch in run.resume(["epochs=3"]).history] == [1, 2, 3]
    assert run.status == "completed"


@pytest.mark.usefixtures("home")
def test_another_use_of_hydra_goes_on() -> None:
    with initialize_config_dir(str(ROOT / "conf")):
        housenumbers.train([*TINY, "epochs=1"])
        assert compose("train", ["seed=5"]).seed == 5


@pytest.mark.usefixtures("home")
def test_it_trains_in_a_thread() -> None:
    found: list[Any] = []

    def work() -> None:
        found.append(housenumbers.train([*TINY, "epochs=1"]).status)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == ["completed"]


def test_words_may_come_from_any_iterable(home: Path) -> None:
    assert housenumbers.compose(word for word in ("data=digits", "seed=7")).seed == 7  # type: ignore[arg-type]
    assert housenumbers.compose(("data=digits", "seed=7")).data.name == "digits"
    assert not list(home.iterdir())


def test_a_configuration_is_composed_without_a_run(home: Path) -> None:
    config = housenumbers.compose(["optimizer=sgd", "optimizer.lr=0.05", "data=digits"])
    assert (config.optimizer.lr, config.data.name) == (0.05, "digits")
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["optimzer.lr=1"], "optimzer: no such key: did you mean optimizer"),
        (["data=digits", "epochs=0"], "epochs=0"),
        (["-m", "seed=1,2"], "-m: is for python src/train.py -m"),
        (["hydra.mode=MULTIRUN"], "hydra.mode=MULTIRUN: is for python src/train.py -m"),
        (["hydra/sweeper=optuna"], "hydra/sweeper=optuna: is for python src/train.py -m"),
        (["resume=outputs/x"], "open_run"),
        ("seed=1", r"must be a list of words, such as \['seed=1'\]"),
        ([1], "must be a list of words"),
        (["data.root=nowhere"], "nowhere"),
    ],
)
def test_a_mistake_is_a_user_error_and_leaves_no_folder(words: Any, said: str, home: Path) -> None:
    with pytest.raises(housenumbers.UserError, match=said):
        housenumbers.train(words if isinstance(words, str) else [*words, "data.download=false"])
    assert not (home / "outputs").exists()


def test_an_interrupt_ends_a_run_that_goes_on_later(tmp_path: Path) -> None:
    """As the button of a notebook does: KeyboardInterrupt, and the process lives on."""
    program = (
        "import housenumbers, os, sys\n"
        f"words = {[*TINY, 'epochs=500', 'hydra.run.dir=run']}\n"
        "try:\n    housenumbers.train(words)\nexcept KeyboardInterrupt:\n    print('interrupted here')\n"
        "run = housenumbers.open_run('run')\nprint(run.status, len(run.history) > 0)\n"
        "print(housenumbers.train([*words[:-2], 'epochs=1', 'hydra.run.dir=other']).status)\n"
    )
    path = os.pathsep.join([str(ROOT / "src")])
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment(PYTHONPATH=path),
        stdout=subprocess.PIPE,
        text=True,
    )
    metrics = tmp_path / "run" / "metrics.jsonl"
    while not metrics.exists() or metrics.read_text().count("\n") < 2:
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=120)
    lines = output.splitlines()
    assert "interrupted here" in lines
    assert "interrupted True" in lines
    assert lines[-1] == "completed"


def test_importing_the_package_imports_no_large_library() -> None:
    program = (
        "import sys, housenumbers; dir(housenumbers); import json; "
        "print(json.dumps([name for name in ('torch', 'numpy', 'hydra', 'omegaconf') if name in sys.modules]))"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command, env=environment(PYTHONPATH=str(ROOT / "src")), capture_output=True, text=True, check=True, timeout=60
    )
    assert json.loads(done.stdout) == []
    assert {"train", "load_model", "UserError"} <= set(dir(housenumbers))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        housenumbers.nothing  # noqa: B018


def test_what_is_no_run_is_told(tmp_path: Path) -> None:
    (tmp_path / "photo.png").touch()
    with pytest.raises(housenumbers.UserError, match=r"not a run's folder: it has no run\.json"):
        housenumbers.open_run(tmp_path)
    with pytest.raises(housenumbers.UserError, match="a file, not a run's folder"):
        housenumbers.open_run(tmp_path / "photo.png")
    for given in (None, 3):
        with pytest.raises(housenumbers.InputError, match="must be a run's folder, its name"):
            housenumbers.open_run(given)  # type: ignore[arg-type]


@pytest.mark.parametrize("given", [None, 3, {"data": "digits"}])
def test_overrides_are_words(given: object) -> None:
    with pytest.raises(housenumbers.InputError, match="overrides: must be a list of words"):
        housenumbers.compose(given)  # type: ignore[arg-type]


@pytest.mark.parametrize("given", [3, ["status=completed"], "status"])
def test_a_filter_is_a_word(given: object) -> None:
    with pytest.raises(housenumbers.InputError, match="not KEY=VALUE"):
        housenumbers.list_runs(given)  # type: ignore[arg-type]


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("zzzzz=1", "^zzzzz: no such key"),
        ("=1", "^=1: has no key"),
        ("status=complete", "^status=complete: must be completed, pruned, running, "),
        ("seed=a", "^seed=a: must be a whole number"),
        ("epochs=1.5", "^epochs=1.5: must be a whole number"),
        ("config.optimizer.lr=fast", "^optimizer.lr=fast: must be a number"),
        ("tta_invert=1", "^tta_invert=1: must be true or false"),
        ("threads=None", "^threads=None: must be a whole number, or null: write threads=null"),
        ("data=dgits", r"^data=dgits: no run has it: did you mean digits\?$"),
        ("config.model=Fastnets", r"^model=Fastnets: no run has it: did you mean fastnet\?$"),
    ],
)
def test_a_filter_that_no_run_can_match_is_told(given: str, said: str) -> None:
    with pytest.raises(housenumbers.UserError, match=said):
        housenumbers.list_runs(given)


def test_a_filter_may_have_values_as_python_writes_them(home: Path) -> None:
    folder = home / "outputs" / "a"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"status": "completed", "config": {"tta_invert": True, "seed": 1}}))
    for given in (f"tta_invert={True}", "tta_invert=true", "seed=1.0"):
        assert len(housenumbers.list_runs(given)) == 1
    for given in (f"tta_invert={False}", "seed=2", "data=svhn", "data=svhn_7k", "model=resnet34"):
        assert housenumbers.list_runs(given) == []


@pytest.mark.usefixtures("home")
def test_a_custom_option_may_be_looked_for_before_the_first_run() -> None:
    assert housenumbers.list_runs("model.depth=3", "test.accuracy=1") == []


@pytest.mark.usefixtures("home")
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a file system that takes no folders")
@pytest.mark.parametrize(
    ("folder", "said"),
    [("/proc/x", r"^/proc/x: .*: choose another place"), ("x" * 300, "File name too long: choose a shorter name")],
)
def test_a_folder_that_cannot_be_made_is_a_user_error(folder: str, said: str) -> None:
    with pytest.raises(housenumbers.UserError, match=said):
        housenumbers.train([*TINY, f"hydra.run.dir={folder}"])


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("--help", "^--help: is a flag of python src/train.py: here are settings alone"),
        ("repeat=last", "^repeat=last: is for python src/train.py"),
        ("", "^'': has no key"),
        ("seed=1\n2", "^seed=1 2: cannot be read"),
    ],
)
def test_a_word_for_the_command_alone_is_told(word: str, said: str) -> None:
    with pytest.raises(housenumbers.UserError, match=said):
        housenumbers.compose([word])


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_record_without_permission_is_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    (tmp_path / "run.json").chmod(0)
    with pytest.raises(housenumbers.UserError, match="permit access"):
        housenumbers.open_run(tmp_path).status  # noqa: B018


def test_a_record_that_is_a_folder_is_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "run.json").mkdir()
    run = housenumbers.open_run(tmp_path)
    for name in ("record", "status", "config", "scores"):
        with pytest.raises(housenumbers.UserError, match=r"run\.json: Is a directory"):
            getattr(run, name)


@pytest.mark.usefixtures("home")
def test_threads_that_train_take_turns() -> None:
    def train(name: str, seed: int) -> None:
        housenumbers.compose([*TINY, f"seed={seed}"])
        housenumbers.train([*TINY, f"seed={seed}", f"hydra.run.dir=outputs/{name}"])

    threads = [threading.Thread(target=train, args=(f"thread_{seed}", seed)) for seed in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in (1, 2, 3):
        train(f"alone_{seed}", seed)
        alone, beside = (housenumbers.open_run(f"outputs/{name}_{seed}") for name in ("alone", "thread"))
        assert alone.record["weights_sha256"] == beside.record["weights_sha256"]


def test_a_logger_of_ones_own_writes_into_the_run_and_keeps_its_file_where_a_longer_run_is_refused(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "my_table.py").write_text(
        "class Table:\n"
        "    def __init__(self, folder):\n        self.file = open(folder / 'table.txt', 'w')\n"
        "    def log_hyperparams(self, params):\n        pass\n"
        "    def log_metrics(self, metrics, step):\n        print(step, file=self.file, flush=True)\n"
        "    def finalize(self, status):\n        self.file.close()\n"
    )
    monkeypatch.syspath_prepend(home)
    monkeypatch.setattr("housenumbers.config.targets.ALLOW_VALUE", "my_table.*")
    words = (
        *TINY,
        "epochs=1",
        "scheduler=onecycle",
        "scheduler.total_steps=11",
        "+logger.t={_target_: my_table.Table}",
    )
    run = housenumbers.train([*words, "hydra.run.dir=outputs/table"])
    table = (run.folder / "table.txt").read_text()
    assert table.startswith("1\n")
    with pytest.raises(UserError, match=r"scheduler\.total_steps=11"):
        run.resume(["epochs=2"])
    assert (run.folder / "table.txt").read_text() == table


@pytest.mark.usefixtures("home")
def test_what_the_program_has_set_in_torch_changes_no_run() -> None:
    images = read_digits(None, "test")[0].images[:9].permute(0, 2, 3, 1).numpy()
    first = housenumbers.train([*TINY, "hydra.run.dir=outputs/a"])
    expected = first.model().label(images)
    torch.set_default_dtype(torch.float64)
    try:
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            run = housenumbers.train([*TINY, "hydra.run.dir=outputs/b"])
            assert torch.is_autocast_enabled("cpu")
        with torch.no_grad():
            assert run.model().label(images) == expected
            reader = housenumbers.load_model("pretrained_numbers", threads=1)
            assert len(reader.read(images)) == 9  # the less sure ones at several scales
        assert run.record["weights_sha256"] == first.record["weights_sha256"]
        assert torch.get_default_dtype() is torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
