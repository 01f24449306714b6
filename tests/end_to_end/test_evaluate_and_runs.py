"""The verbs that look at finished runs."""

import json
import shutil
import time
from pathlib import Path

import pytest
from PIL import Image
from support import TINY, Command, command_line, environment, run_folders, run_in, write_mat

from housenumbers.tracking.run_folder import RunFolder


def home_of(folder: Path) -> Path:
    return folder.parents[2]


@pytest.fixture
def home(finished: Path, tmp_path: Path) -> Path:
    """A working folder with a copy of the finished run."""
    shutil.copytree(home_of(finished) / "outputs", tmp_path / "outputs")
    return tmp_path


@pytest.mark.parametrize("run", ["last", "best", "{folder}", "{folder}/checkpoints/best.pt"])
def test_evaluate_gives_the_runs_own_test_accuracy(home: Path, command: Command, run: str) -> None:
    (folder,) = run_folders(home)
    done = command("evaluate", f"run={run.format(folder=folder)}")
    assert done.returncode == 0, done.stderr
    written = json.loads((folder / "evaluation_test.json").read_text())
    recorded = json.loads((folder / "run.json").read_text())["test"]
    assert {key: written[key] for key in recorded} == recorded
    assert len(written["per_class_accuracy"]) == len(written["confusion"]) == 10
    assert sum(map(sum, written["confusion"])) == written["n"]
    assert f"{recorded['accuracy']:.2%}" in done.stdout


def test_scores_that_cannot_be_written_are_not_said_to_be(home: Path, command: Command) -> None:
    (folder,) = run_folders(home)
    (folder / "evaluation_test.json").mkdir()
    done = command("evaluate", f"run={folder}")
    assert done.returncode == 0, done.stderr
    assert "evaluation_test.json: not written: Is a directory" in done.stderr
    assert "written to" not in done.stdout


def test_other_weights_in_a_runs_folder_have_a_file_of_their_own(home: Path, command: Command) -> None:
    (folder,) = run_folders(home)
    assert command("evaluate", f"run={folder}").returncode == 0
    best = (folder / "evaluation_test.json").read_text()
    weights = f"{folder}/checkpoints/last.pt"
    assert command("export", f"run={weights}", "format=weights", f"file={folder}/other.pt").returncode == 0
    for run, name in ((weights, "last"), (f"{folder}/other.pt", "other")):
        assert command("evaluate", f"run={run}").returncode == 0
        assert json.loads((folder / f"evaluation_test_{name}.json").read_text())["checkpoint"] == run
    assert (folder / "evaluation_test.json").read_text() == best
    (folder / "figures/corruptions_test.png").touch()
    derived = {file.name for file in RunFolder(folder).remove_derived_files()}
    names = ("test", "test_last", "test_other")
    assert {f"evaluation_{name}.json" for name in names} | {"corruptions_test.png"} <= derived


def test_each_command_says_which_run_it_took(home: Path, command: Command) -> None:
    (folder,) = run_folders(home)
    newer = shutil.copytree(folder, folder.parent / "newer")
    record = json.loads((folder / "run.json").read_text())
    (newer / "run.json").write_text(json.dumps(record | {"status": "interrupted", "started": "2100"}))
    image = home / "image.png"
    Image.new("RGB", (32, 32)).save(image)
    place, passed_over = folder.relative_to(home), newer.relative_to(home)
    for verb, words in (
        ("evaluate", ["split=validation"]),
        ("predict", ["run=last", f"images={image}"]),
        ("export", ["run=last", "format=torch"]),
        ("report", ["run=last"]),
        ("report", [f"runs=[finished,{newer}]"]),
    ):
        done = command(verb, *words)
        assert done.returncode == 0, done.stderr
        wanted, named = ("finished", " named finished") if "runs=" in words[0] else ("last", "")
        told = f"the only completed run{named}; newer, but interrupted: {passed_over}"
        assert f"run={wanted}: {place} (resnet31 on digits): {told}" in done.stderr.splitlines()


def test_another_test_part_than_the_run_was_tested_on_is_said(command: Command, tmp_path: Path) -> None:
    for name in ("train", "test"):
        write_mat(tmp_path / f"{name}_32x32.mat", 120)
    data = ("data=svhn", "data.root=.", "data.verify=false", "data.cache=cache")
    done = command("train", *TINY, *data, "epochs=1", "data.reduce=1", "hydra.run.dir=run")
    assert done.returncode == 0, done.stderr
    assert "test part" not in command("evaluate", "run=run").stderr
    write_mat(tmp_path / "test_32x32.mat", 110)
    done = command("evaluate", "run=run")
    assert done.returncode == 0
    (line,) = done.stderr.splitlines()
    assert "another test part than the run was tested on" in line


def test_evaluate_on_validation_gives_the_best_epochs_accuracy(home: Path, command: Command) -> None:
    (folder,) = run_folders(home)
    assert command("evaluate", "split=validation").returncode == 0
    written = json.loads((folder / "evaluation_validation.json").read_text())
    assert written["accuracy"] == json.loads((folder / "run.json").read_text())["best"]["val_accuracy"]


def test_a_checkpoint_needs_nothing_of_its_run(home: Path, command: Command) -> None:
    (folder,) = run_folders(home)
    alone = home / "alone" / "model.pt"
    alone.parent.mkdir()
    (folder / "checkpoints" / "best.pt").rename(alone)
    shutil.rmtree(folder)
    assert command("evaluate", f"run={alone}").returncode == 0
    assert (alone.parent / "evaluation_test_model.json").exists()


def test_checkpoints_in_one_folder_have_files_of_their_own(home: Path, command: Command) -> None:
    (folder,) = run_folders(home)
    for name in ("a", "b"):
        file = home / f"{name}.pt"
        shutil.copy(folder / "checkpoints/best.pt", file)
        assert command("evaluate", f"run={file}").returncode == 0
        assert command("export", f"run={file}", "format=torch").returncode == 0
    names = ("evaluation_test_a.json", "evaluation_test_b.json", "model_a.pt2", "model_b.pt2")
    assert all((home / name).exists() for name in names)
    (home / "a.pt").rename(home / "best.pt")
    assert command("evaluate", f"run={home}/best.pt").returncode == 0
    assert (home / "evaluation_test.json").exists()  # of the only best weights there


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["export", "file=~/x.pt"], "file={home}/x.pt: must be"),
        (["confirm", "study=s", "config_dir=~/none"], "config_dir={home}/none: no such folder"),
        (["report", "study=~/outputs"], "no {home}/outputs/study.db"),
        (["report", "data=digits", "folder=~/file"], "{home}/file"),
    ],
)
def test_a_tilde_in_an_argument_is_the_home_folder(home: Path, command: Command, words: list[str], said: str) -> None:
    (home / "file").touch()
    done = command(*words, HOME=str(home))
    assert done.returncode == 2
    assert said.format(home=home) in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run=nowhere"], "run=nowhere"),
        (["split=training"], "split=training"),
        (["colour=red"], "colour"),
        (["data.split_seed=7"], "data.split_seed"),
        (["data="], "data=: must be one of the options digits, "),
        (["data=nothing"], "data=nothing: no such option"),
        (["data=svhn", "data.root=nowhere", "data.download=false"], "nowhere"),
        (["data=synthetic", "data.size=3"], "data.size"),
        (["data=digits", "split=validation"], "split=validation"),
        (["run"], "KEY=VALUE"),
        (["run=outputs"], "no such checkpoint"),
    ],
)
def test_evaluate_refuses_in_one_line(home: Path, command: Command, words: list[str], said: str) -> None:
    assert home.exists()
    done = command("evaluate", *words)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert said in line


def test_evaluate_scores_other_data(home: Path, command: Command) -> None:
    (folder,) = run_folders(home)
    done = command("evaluate", "data=synthetic", "data.size=400", "data.difficulty=0.2")
    assert done.returncode == 0, done.stderr
    assert "of synthetic" in done.stdout
    written = json.loads((folder / "evaluation_test_on_synthetic.json").read_text())
    assert written["n"] == 100
    assert not (folder / "evaluation_test.json").exists()


def test_without_runs_one_line_says_so(command: Command) -> None:
    done = command("evaluate")
    assert done.returncode == 2
    assert "train one" in done.stderr


def test_a_test_split_needs_only_the_test_file(svhn_folder: Path, command: Command, tmp_path: Path) -> None:
    svhn = ("data=svhn", f"data.root={svhn_folder}", "data.verify=false", "model.width=4", "epochs=1", "threads=1")
    assert command("train", *svhn, "data.batch_size=64").returncode == 0
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (svhn_folder / "test_32x32.mat").rename(elsewhere / "test_32x32.mat")
    shutil.rmtree(svhn_folder)
    done = command("evaluate", f"data.root={elsewhere}")
    assert done.returncode == 0, done.stderr
    assert "of 120" in done.stdout


def test_runs_lists_best_first_and_filters(finished: Path, tmp_path: Path) -> None:
    homes = tmp_path / "outputs" / "day"
    for accuracy, name, status in ((0.5, "low", "completed"), (0.9, "high", "completed"), (0.7, "mid", "failed")):
        copy = shutil.copytree(finished, homes / name)
        record = json.loads((copy / "run.json").read_text())
        record |= {"name": name, "status": status, "best": record["best"] | {"val_accuracy": accuracy}}
        (copy / "run.json").write_text(json.dumps(record))
    everything = run_in(tmp_path, "runs")
    rows = [line.split() for line in everything.stdout.splitlines()]
    assert rows[0][0] == "accuracy"
    assert [row[4] for row in rows[1:]] == ["high", "mid", "low"]
    listed = json.loads(run_in(tmp_path, "runs", "format=json", "status=completed", "data=digits").stdout)
    assert [run["name"] for run in listed] == ["high", "low"]
    by_config = run_in(tmp_path, "runs", "format=json", "model.width=4", "limit=1")
    assert [run["name"] for run in json.loads(by_config.stdout)] == ["high"]
    assert json.loads(run_in(tmp_path, "runs", "format=json", "optimizer.lr=99").stdout) == []
    assert run_in(tmp_path, "runs", "format=xml").returncode == 2


@pytest.mark.slow
def test_runs_at_once_are_all_listed(tmp_path: Path) -> None:
    import subprocess

    running = [
        subprocess.Popen(
            command_line("train", *TINY, "epochs=1", f"seed={seed}", "name=crowd"),
            cwd=tmp_path, env=environment(OMP_NUM_THREADS="1"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        for seed in range(4)
    ]  # fmt: skip
    while any(process.poll() is None for process in running):
        assert run_in(tmp_path, "runs", "format=json").returncode == 0
        time.sleep(0.3)
    assert [process.returncode for process in running] == [0] * 4
    listed = json.loads(run_in(tmp_path, "runs", "format=json", "name=crowd", "status=completed").stdout)
    assert sorted(run["seed"] for run in listed) == [0, 1, 2, 3]


@pytest.mark.parametrize("edit", [{"best": 5}, {"best": {"val_accuracy": None}}, {"test": [1]}, {"train_seconds": "x"}])
def test_a_record_from_elsewhere_does_not_hide_the_others(home: Path, command: Command, edit: dict) -> None:
    (folder,) = run_folders(home)
    foreign = shutil.copytree(folder, folder.parent / "foreign")
    (foreign / "run.json").write_text(json.dumps(json.loads((folder / "run.json").read_text()) | edit))
    done = command("runs")
    assert done.returncode == 0, done.stderr
    assert "completed" in done.stdout
    assert "damaged" in done.stdout
    assert command("evaluate", "run=best").returncode == 0


@pytest.mark.parametrize(("file", "said"), [("train_32x32.mat", "the data in"), ("test_32x32.mat", "the test part in")])
def test_a_run_goes_on_with_the_data_that_it_began_with_alone(
    svhn_folder: Path, command: Command, file: str, said: str
) -> None:
    from support import write_mat

    svhn = ("data=svhn", f"data.root={svhn_folder}", "data.verify=false", "model.width=4", "threads=1")
    assert command("train", *svhn, "epochs=1", "data.batch_size=64").returncode == 0
    write_mat(svhn_folder / file, 600, shade=7)
    done = command("train", "resume=last", "epochs=2")
    assert done.returncode == 2
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("error: "))
    assert said in line
    assert "began with" in line


def test_validation_is_not_scored_on_other_data(svhn_folder: Path, command: Command) -> None:
    from support import write_mat

    svhn = ("data=svhn", f"data.root={svhn_folder}", "data.verify=false", "model.width=4", "epochs=1", "threads=1")
    assert command("train", *svhn, "data.batch_size=64").returncode == 0
    assert command("evaluate", "split=validation").returncode == 0
    write_mat(svhn_folder / "train_32x32.mat", 600, shade=7)
    done = command("evaluate", "split=validation")
    assert done.returncode == 2
    assert "other data" in done.stderr


def test_a_damaged_test_file_is_found_before_the_training(svhn_folder: Path, command: Command) -> None:
    (svhn_folder / "test_32x32.mat").write_bytes(b"garbage")
    done = command("train", "data=svhn", f"data.root={svhn_folder}", "data.verify=false", "model.width=4")
    assert done.returncode == 2
    assert "test_32x32.mat" in done.stderr
    assert "epoch" not in done.stdout
