"""Every command in README.md and docs/ runs, at a small size, or is listed here with the reason why not."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from support import ROOT, environment, run_folders
from warm import run_script

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

NOT_RUN = {
    "pip install .": "installs; tests/test_wheel.py does it in a folder of its own",
    "make train": "installs into a fresh environment, and runs the first command of docs/train.md",
    "make test": "is what runs this",
    "make lint": ".ci/run does it",
    "make install LOCKED=1": "installs into a fresh environment",
    "make test-lowest": "installs into a fresh environment, and runs tests",
    "make bench": "takes a quarter of an hour; tests/benchmarks runs its script in small",
    "python benchmarks/svhn_6k.py data.root=FOLDER": "takes hours; tests/benchmarks runs it in small",
    "python benchmarks/ablation.py data.root=FOLDER": "takes an hour; tests/benchmarks runs it in small",
    "python benchmarks/leak.py data.root=FOLDER seeds=5": "takes minutes; tests/benchmarks runs it in small",
    "python benchmarks/model_cards.py data.root=FOLDER": "takes minutes; tests/benchmarks runs it in small",
    "python benchmarks/samplers.py": "takes minutes; tests/benchmarks runs it in small",
    "python benchmarks/against_others.py data.root=FOLDER": "takes an hour; tests/benchmarks runs it in small",
    "python src/train.py experiment=numbers data.root=FOLDER": "takes minutes; tests/runs runs it in small",
    "python benchmarks/numbers.py run=RUN": "takes minutes; tests/benchmarks runs it in small",
    "conda env create -f environment.yml": "needs conda and 6 GB; a test compares the file with pyproject.toml",
    "conda activate housenumbers": "needs conda",
    "source .venv/bin/activate": "changes the shell",
    "make dashboard": "installs optuna-dashboard, and serves until it is ended",
    "python src/train.py experiment=pretrained_digits": "takes long; tests/prediction runs it in small",
    "python src/train.py experiment=pretrained_numbers": "takes long; tests/prediction runs it in small",
    "make predict IMAGES=IMAGES/3/0.png": "installs; tests/pretrained runs it where that is done",
    "make read IMAGES=IMAGES": "installs; tests/pretrained runs it where that is done",
    "make demo": "installs, and serves until it is ended; tests/demo runs its command in a browser",
    "python src/demo.py run=best port=0 threads=1": "serves until it is ended; tests/demo runs it",
    "pip install -e '.[demo]'": "installs; the tests have it already",
    "make tensorboard": "serves until it is ended; its command is run with --inspect",
    "pip install -e '.[joblib]'": "installs; the tests have it already",
    "pip install -e '.[postgres]'": "installs; the tests have it already",
    "pip install -e '.[lite]'": "installs; the tests have it already",
    "pip install -e '.[onnx]'": "installs; the tests have it already",
    "pip install -e '.[slurm]'": "installs; .ci/run does it",
    "pip install -e '.[cmaes]'": "installs; the tests have it already",
    "pip install -e '.[photos]'": "installs; the tests have it already",
    "pip install -e '.[wandb]'": "installs; the tests have it already",
    "pip install -e '.[mlflow]'": "installs; the tests have it already",
    "pip install mlflow": "installs a server that the tests do without",
    "pip install -e '.[ray]'": "installs; .ci/run does it",
    "python src/train.py -m hydra/sweeper=optuna hydra.sweeper.storage=postgresql://USER@HOST/DATABASE "
    "hydra.sweeper.study_name=shared": "needs a server; tests/sweeps/test_postgres.py starts one",
    "torchrun --nnodes=2 --nproc_per_node=4 --rdzv_backend=c10d --rdzv_endpoint=HOST:29500 src/train.py "
    "data.batch_size=256": "needs two machines; tests/training/test_distributed.py has two commands on one",
    "python src/report.py study=STUDY storage=postgresql://USER@HOST/DATABASE": "needs a server",
    "python src/train.py -m hydra/sweeper=optuna hydra/launcher=submitit_slurm hydra.sweeper.n_jobs=8 "
    "hydra.launcher.partition=PARTITION": "needs SLURM; tests/sweeps/test_worker_pool.py runs its local executor",
    "python src/train.py -m hydra/sweeper=optuna data=digits hydra/launcher=ray hydra.sweeper.n_jobs=2 "
    "hydra.sweeper.n_trials=10": "needs the extra; tests/sweeps/test_worker_pool.py runs it (slow)",
}
SMALL = "data.reduce=0.3 model.width=4 model.blocks=[1] epochs=1 threads=1 data.batch_size=64"


def commands(page: Path) -> list[str]:
    """The lines of all bash blocks, and the inline pieces that begin like a command, without their comments."""
    text = page.read_text()
    lines = [line for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    inline = re.findall(
        r"`((?:python|make|conda|source|tensorboard|pip) [^`]*)`", re.sub(r"```.*?```", "", text, flags=re.S)
    )
    return [stripped for line in (*lines, *inline) if (stripped := line.split("  #")[0].strip())]


ALL = list(dict.fromkeys(command for page in PAGES for command in commands(page)))
PROMISED = ("python src/train.py model=resnet31 data.reduce=0.1", "python src/train.py -m hydra/sweeper=optuna")
RUN = [
    pytest.param(command, marks=[] if command in PROMISED else pytest.mark.slow)
    for command in ALL
    if command not in NOT_RUN
]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder that looks like a checkout, with a completed run on it, and SVHN's files in miniature."""
    from support import write_mat

    home = tmp_path_factory.mktemp("checkout")
    for name in ("src", "conf"):
        shutil.copytree(ROOT / name, home / name)
    (home / "data").mkdir()
    for part, count in {"train": 600, "test": 60, "extra": 100}.items():
        write_mat(home / "data" / f"{part}_32x32.mat", count)
    for label in range(10):
        (home / f"images/{label}").mkdir(parents=True)
        for number in range(40):
            Image.new("RGB", (32, 32), (25 * label, number, 0)).save(home / f"images/{label}/{number}.png")
    page = (ROOT / "docs" / "extend.md").read_text()
    for name, code in re.findall(r"`(mine/[\w/.]+)`[^`]*:\n\n```\w+\n(.*?)```", page, re.DOTALL):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(code)
    numbers = "data=synthetic_numbers model=number_reader data.size=100 model.channels=[8,8,8,8]"
    _run(home, f"python src/train.py {numbers} name=numbers epochs=1 threads=1")
    _run(home, f"python src/train.py data=digits name=earlier {SMALL}")
    _run(home, f"python src/train.py data=digits name=other seed=1 data.split_seed=42 {SMALL}")
    _run(home, "python src/train.py experiment=synthetic name=rendered data.size=100 epochs=1 threads=1")
    study = "hydra.sweeper.study_name=earlier hydra.sweeper.n_trials=1"
    _run(home, f"python src/train.py -m hydra/sweeper=optuna data=digits {study} {SMALL}")
    return home


def _run(home: Path, command: str) -> subprocess.CompletedProcess[str]:
    words, own = shlex.split(command), {}
    while "=" in words[0]:
        key, _, own[key] = words.pop(0).partition("=")
    env = environment(XDG_CACHE_HOME=str(home / "cache"), OMP_NUM_THREADS="1", **own)
    if words[0] == "python" and not own:
        return run_script(words, home, env, timeout=600)
    words[0] = sys.executable if words[0] == "python" else str(Path(sys.executable).parent / words[0])
    return subprocess.run(words, cwd=home, env=env, capture_output=True, text=True, timeout=600)


def small(command: str, home: Path) -> str:
    """The command with a real folder in the place of a placeholder, and cut down to seconds."""
    finished = next(folder for folder in run_folders(home) if folder.name.endswith("_earlier"))
    other = next(folder for folder in run_folders(home) if folder.name.endswith("_other"))
    rendered = next(folder for folder in run_folders(home) if folder.name.endswith("_rendered"))
    numbers = next(folder for folder in run_folders(home) if folder.name.endswith("_numbers"))
    command = (
        command.replace("OTHER_RUN", str(other))
        .replace("NUMBERS_RUN", str(numbers))
        .replace("PLATES", str(home / "images/1"))
        .replace("PHOTOS", str(home / "images/1"))
        .replace("RENDERED_RUN", str(rendered))
        .replace("RUN_FOLDER", str(finished))
        .replace("FOLDER", str(home / "data"))
    )
    command = command.replace("IMAGES", str(home / "images"))
    command = re.sub(r"GROUP=OPTION|KEY=VALUE", "seed=1", command).replace("STUDY", "earlier")
    command = command.replace("seeds=5", "seeds=1").replace("data.size=1000", "data.size=100")
    command = command.replace("seed=1,2,3,4,5", "seed=1,2")
    command = command.replace("data=svhn_6k", "data=svhn")  # whose check by content has a test of its own
    if "train.py" in command or "report.py data=" in command:
        rendered_data = "data=synthetic" if " data=" in command else "experiment=(synthetic|course|quickstart)"
        size = 2000 if "experiment=synthetic" in command else 400  # whose validation part is small
        command += f" data.size={size}" if re.search(rendered_data, command) and "resume=" not in command else ""
    if command.startswith("tensorboard"):
        return command + " --inspect"
    if re.search(r"(report|evaluate).py .*data=svhn", command):
        return f"{command} data.verify=false"
    if "train.py" not in command or re.search(r"resume=|repeat=|--help|--cfg", command):
        return command
    unofficial = "" if re.search("digits|quickstart", command) else " data.verify=false"
    data = " data=svhn" if re.search("study_6k|experiment=fast", command) else ""
    swept = [word.partition("=")[0] for word in command.split() if "," in word and not word.endswith("]")]
    if "hydra/sweeper=optuna" in command:
        swept += ["data.batch_size"]
        command = re.sub(r"hydra.sweeper.n_trials=\d+", "", command) + " hydra.sweeper.n_trials=1"
    more = [word for word in SMALL.split() if word.partition("=")[0] not in swept]
    without_width_and_blocks = (
        "model=(torchvision|mobilenet|efficientnet|number_reader)|experiment=(fast|quickstart|synthetic|mine)"
    )
    if re.search(without_width_and_blocks, command):
        more = [word for word in more if not word.startswith("model.")]
    return f"{command}{data}{unofficial} {' '.join(more)}"


@pytest.mark.parametrize("command", RUN)
def test_the_command_runs(command: str, checkout: Path) -> None:
    expected = 2 if "optimzer" in command else 0
    done = _run(checkout, small(command, checkout))
    assert done.returncode == expected, done.stderr


def test_what_is_not_run_is_still_documented() -> None:
    assert set(NOT_RUN) <= {*ALL, "make bench"}


def test_links_lead_somewhere() -> None:
    for page in [*PAGES, ROOT / "benchmarks" / "README.md"]:
        for link in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


@pytest.mark.slow
def test_the_examples_of_the_documentation_train_and_are_built_again_where_they_are_allowed(checkout: Path) -> None:
    train, evaluate = (command for command in commands(ROOT / "docs" / "extend.md") if "HOUSENUMBERS_ALLOW" in command)
    earlier = run_folders(checkout)  # the same command's, where a test before ran it
    done = _run(checkout, f"{train} data.reduce=0.3 threads=1")
    assert done.returncode == 0, done.stderr
    (folder,) = set(run_folders(checkout)) - set(earlier)
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert all(record["val_accuracy"] <= record["val_top2"] <= 1 for record in records)
    assert [json.loads(line) for line in (folder / "diary.jsonl").read_text().splitlines()] == records
    lines = (folder / "lines.txt").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["linear", "1", "2", "2", "success"]
    assert len((folder / "metrics.csv").read_text().splitlines()) == 3
    assert json.loads((folder / "run.json").read_text())["test"]["top2"] <= 1
    again = _run(checkout, evaluate.replace("run=last", f"run={folder}"))
    assert again.returncode == 0, again.stderr
    assert "top2" in again.stdout
    export = f"python src/export.py run={folder} file=linear.onnx"
    refused = _run(checkout, f"PYTHONPATH=. {export}")
    assert refused.returncode == 2
    assert "mine.models.Linear" in refused.stderr
    assert "HOUSENUMBERS_ALLOW=mine.models.Linear" in refused.stderr
    allowed = _run(checkout, f"HOUSENUMBERS_ALLOW=mine.models.Linear PYTHONPATH=. {export}")
    assert allowed.returncode == 0, allowed.stderr
