"""One study in a real PostgreSQL, shared by commands that could as well run on different machines."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import PendingRollbackError
from sqlalchemy.pool import NullPool
from support import begin_sweep, run_in, sweep

from housenumbers.runtime.errors import UserError
from housenumbers.sweeps.database import one_line_database_errors

psycopg = pytest.importorskip("psycopg", reason="needs the extra .[postgres]")

SHARED = ("scheduler.gamma=0.5", "hydra.sweeper.study_name=shared")


def _server_programs() -> Path | None:
    """The folder of initdb and postgres: on the path, or where Debian keeps it."""
    found = shutil.which("initdb")
    folders = [Path(found).parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return folders[-1] if folders and (folders[-1] / "initdb").exists() else None


class Server:
    """A server of its own. PostgreSQL refuses root, so root becomes the user postgres."""

    def __init__(self, programs: Path, home: Path, log: Path) -> None:
        self._programs, self._home, self._log = programs, home, log
        self._as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self.url = f"postgresql://tester@127.0.0.1:{self._port}/postgres"
        subprocess.run(
            [*self._as_user, programs / "initdb", "-D", home / "data", "-U", "tester", "-A", "trust", "--no-sync"],
            cwd="/", check=True, capture_output=True,
        )  # fmt: skip

    def start(self) -> None:
        options = ["-p", str(self._port), "-h", "127.0.0.1", "-k", str(self._home), "-F"]
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                [*self._as_user, self._programs / "postgres", "-D", self._home / "data", *options],
                cwd="/", stdout=log, stderr=log,
            )  # fmt: skip
        for _ in range(300):
            assert self._process.poll() is None, self._log.read_text()
            try:
                psycopg.connect(self.url, connect_timeout=5).close()
                return
            except psycopg.OperationalError:  # it listens before it is ready
                time.sleep(0.1)
        raise AssertionError(self._log.read_text())

    def stop(self) -> None:
        pid = int((self._home / "data/postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGINT)  # its fast shutdown
        self._process.wait(30)


@pytest.fixture(scope="module")
def running_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    programs = _server_programs()
    if programs is None:
        pytest.skip("needs PostgreSQL's server, Debian's package postgresql")
    home = tmp_path_factory.mktemp("server")
    if os.geteuid() == 0:  # pytest's own folders are root's alone
        home = Path(tempfile.mkdtemp(prefix="housenumbers-postgres-", dir="/tmp"))
        shutil.chown(home, "postgres")
    server = Server(programs, home, tmp_path_factory.mktemp("log") / "postgres.log")
    server.start()
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def server(running_server: Server) -> str:
    """The server's URL."""
    return running_server.url


def study_at(url: str, name: str) -> optuna.Study:
    """The study, by a storage that keeps no connection open: the server takes a hundred, and tests ask often."""
    return optuna.load_study(study_name=name, storage=RDBStorage(url, engine_kwargs={"poolclass": NullPool}))


def trials(url: str, name: str) -> list[FrozenTrial]:
    return study_at(url, name).trials


def begun(home: Path, url: str, *words: str) -> subprocess.Popen[str]:
    home.mkdir()
    return begin_sweep(home, *SHARED, f"hydra.sweeper.storage={url}", *words)


@pytest.mark.slow
def test_two_commands_begun_at_once_share_a_new_study_and_end_at_exactly_n_trials(server: str, tmp_path: Path) -> None:
    homes = [tmp_path / name for name in ("one", "two")]
    words = ("hydra.sweeper.n_trials=5", "hydra.sweeper.study_name=raced")
    processes = [begun(home, server, *words) for home in homes]
    for process in processes:
        output, errors = process.communicate(timeout=200)
        assert process.returncode == 0, errors
        assert "best: trial" in output
    done = [trial for trial in trials(server, "raced") if not trial.user_attrs.get("interrupted")]
    assert len(done) == 5
    assert all(trial.state in (TrialState.COMPLETE, TrialState.PRUNED) for trial in done)
    assert len({tuple(trial.user_attrs["owner"]) for trial in done}) == 2
    assert len({trial.params["optimizer.lr"] for trial in done}) == 5
    assert sorted(trial.user_attrs["start"] for trial in done) == list(range(5))
    ran = sorted(folder.name for home in homes for folder in home.glob("multirun/raced/trial_*"))
    assert ran == [f"trial_{trial.number:04d}" for trial in done]
    again = sweep(homes[0], *SHARED, f"hydra.sweeper.storage={server}", *words)
    assert "5 of 5 trials done" in again.stdout


@pytest.mark.slow
def test_a_trial_is_kept_on_the_server_when_the_time_is_over(server: str, tmp_path: Path) -> None:
    words = ("hydra.sweeper.study_name=budget", "hydra.sweeper.n_trials=1", "hydra/sweeper/pruner=none")
    for seconds in (15, 45, 135):
        done = sweep(
            tmp_path, f"hydra.sweeper.storage={server}", *words, "epochs=5000", f"hydra.sweeper.timeout={seconds}"
        )
        assert done.returncode == 0, done.stderr
        assert "the time is over: 0 of 1 trial done" in done.stdout.splitlines()[-1]
        kept = trials(server, "budget")
        assert [trial.state for trial in kept].count(TrialState.WAITING) == 1
        assert TrialState.RUNNING not in {trial.state for trial in kept}
        if "continues" in kept[-1].user_attrs:  # else the machine was too slow to begin
            return
    raise AssertionError("no trial began in time")


def test_a_foreign_study_on_the_server_is_not_written_into(server: str, tmp_path: Path) -> None:
    foreign = optuna.create_study(study_name="foreign", storage=server, direction="maximize")
    foreign.tell(foreign.ask(), 0.5)
    done = sweep(tmp_path, f"hydra.sweeper.storage={server}", "hydra.sweeper.study_name=foreign")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "is not a study of this project's sweeps" in line
    assert study_at(server, "foreign").user_attrs == {}
    assert len(trials(server, "foreign")) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_worker_that_died_on_another_machine_is_noticed_by_its_silence(server: str, tmp_path: Path) -> None:
    """The dead one is of this machine, but the study is told otherwise, so that its process cannot be looked up."""
    words = ("hydra.sweeper.n_trials=2", "hydra/sweeper/pruner=none", "hydra.sweeper.heartbeat_seconds=1", "epochs=12",
             "data.reduce=1")  # fmt: skip
    process = begun(tmp_path / "far", server, *words)
    metrics = tmp_path / "far/multirun/shared/trial_0000/metrics.jsonl"
    while not metrics.exists() or metrics.read_text().count("\n") < 2:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    study = study_at(server, "shared")
    storage, victim = study._storage, study.trials[0]
    _, pid, created = victim.user_attrs["owner"]
    storage.set_trial_user_attr(victim._trial_id, "owner", ["far-away", pid, created])
    process.kill()
    process.communicate()
    assert trials(server, "shared")[0].state is TrialState.RUNNING
    here = begun(tmp_path / "here", server, *words)
    _, errors = here.communicate(timeout=200)
    assert here.returncode == 0, errors
    first, *others = trials(server, "shared")
    assert first.state is TrialState.FAIL
    assert first.user_attrs["interrupted"] is True
    assert [trial.state for trial in others] == [TrialState.COMPLETE] * 2
    assert sum(trial.user_attrs.get("continues") == 0 for trial in others) == 1


@pytest.mark.slow
def test_when_the_database_goes_away_one_line_says_so_and_the_same_command_goes_on(
    running_server: Server, tmp_path: Path
) -> None:
    words = ("hydra.sweeper.n_trials=1", "hydra.sweeper.study_name=away", "epochs=12", "data.reduce=1")
    process = begun(tmp_path / "home", running_server.url, *words)
    metrics = tmp_path / "home/multirun/away/trial_0000/metrics.jsonl"
    while not metrics.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    running_server.stop()
    _, errors = process.communicate(timeout=120)
    running_server.start()
    assert process.returncode == 2
    assert len(errors.splitlines()) == 1, errors
    assert errors.startswith("error: hydra.sweeper.storage=127.0.0.1:")
    assert "start its server, or correct the URL, and the same command goes on" in errors
    done = sweep(tmp_path / "home", *SHARED, f"hydra.sweeper.storage={running_server.url}", *words)
    assert done.returncode == 0, done.stderr
    stopped, continued = trials(running_server.url, "away")
    assert stopped.user_attrs["interrupted"]
    assert continued.state is TrialState.COMPLETE


def test_a_connection_lost_in_the_middle_of_a_question_is_not_taken_for_a_full_disk() -> None:
    said = "Can't reconnect until invalid transaction is rolled back.  Please rollback() fully before proceeding"
    wanted = "storage: the connection was lost: start its server"
    with pytest.raises(UserError, match=wanted), one_line_database_errors("storage"):
        raise PendingRollbackError(said)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://tester:secret@127.0.0.1:1/none", "storage=127.0.0.1:1/none: cannot be opened"),
        ("nonsense", "not a URL"),
        ("mysql://someone@127.0.0.1/none", "the driver is missing"),
    ],
)
def test_a_database_that_cannot_be_opened_is_one_line(tmp_path: Path, url: str, said: str) -> None:
    done = sweep(tmp_path, *SHARED, f"hydra.sweeper.storage={url}")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert said in line
    assert "secret" not in line
    done = run_in(tmp_path, "report", "study=s", f"storage={url}")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert said in line
    assert line.startswith("error: storage=")
    assert "secret" not in line
