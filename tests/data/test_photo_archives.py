"""The archives of SVHN's photos: downloaded, checked, and unpacked as a whole or not at all."""

import errno
import gzip
import hashlib
import io
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image
from support import ROOT, Command, data_config, environment, write_digit_struct

from housenumbers.config.sections import DataConfig
from housenumbers.data import download, photo_archives
from housenumbers.data.load import load_test
from housenumbers.data.svhn_files import allowed_digit_struct
from housenumbers.runtime.errors import UserError

pytest.importorskip("h5py")

NUMBERS = [[(30, 20, 12, 30, 1), (44, 22, 14, 30, 10)], [(9, 40, 20, 30, 7)]]
LABELS = [[1, 0, -1, -1, -1, -1], [7, -1, -1, -1, -1, -1]]
PART = ".test.tar.gz.part"


class Server(NamedTuple):
    address: str
    ranges: list[str | None]  # the Range of each request
    limits: list[int]  # after how many bytes the next answers stop: a connection that hangs until `go_on`
    go_on: threading.Event
    ignores_ranges: threading.Event


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive with the layout of SVHN's test.tar.gz."""
    home = tmp_path_factory.mktemp("archive")
    (home / "test").mkdir()
    for number in range(len(NUMBERS)):
        noise = np.random.default_rng(number).integers(256, size=(80, 110, 3), dtype=np.uint8)
        Image.fromarray(noise).save(home / "test" / f"{number + 1}.png")
    write_digit_struct(home / "test" / "digitStruct.mat", NUMBERS)
    with tarfile.open(home / "test.tar.gz", "w:gz") as file:
        file.add(home / "test", "test")
    return home / "test.tar.gz"


@pytest.fixture
def server(archive: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """SVHN's server, on loopback, with the checksum of our archive."""
    content = archive.read_bytes()
    go_on, ignores_ranges = threading.Event(), threading.Event()
    ranges: list[str | None] = []
    limits: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers["Range"]
            ranges.append(asked)
            start = 0 if asked is None or ignores_ranges.is_set() else int(asked.removeprefix("bytes=").rstrip("-"))
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            limit = limits.pop(0) if limits else len(content)
            self.wfile.write(content[start : start + limit])
            if limit < len(content):
                self.wfile.flush()
                go_on.wait(30)
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{running.server_port}/"
    sums = {"test": (len(content), hashlib.sha256(content).hexdigest())}
    monkeypatch.setattr(photo_archives, "SITE", address)
    monkeypatch.setattr(photo_archives, "ARCHIVES", sums)
    yield Server(address, ranges, limits, go_on, ignores_ranges)
    go_on.set()
    running.shutdown()


def config(root: Path, **more: object) -> DataConfig:
    return data_config(
        root,
        **{"name": "svhn_photo_numbers", "width": 80, "download": True, "verify": True, "cache": f"{root}-c"} | more,
    )


def names(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir())


def publish(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    """Makes this content the official test archive."""
    monkeypatch.setattr(photo_archives, "ARCHIVES", {"test": (len(content), hashlib.sha256(content).hexdigest())})


def killed(root: Path, server: Server, code: str, when: Callable[[], bool]) -> None:
    """Loads the test part in another process after `code`, and kills it with SIGKILL as soon as `when` is true."""
    program = (
        "import sys, time, tarfile; from pathlib import Path\n"
        "from support import data_config\n"
        "from housenumbers.data import photo_archives\n"
        "from housenumbers.data.load import load_test\n"
        f"photo_archives.SITE, photo_archives.ARCHIVES = {server.address!r}, {photo_archives.ARCHIVES!r}\n"
        f"{code}\n"
        "root = Path(sys.argv[1])\n"
        "load_test(data_config(root, name='svhn_photo_numbers', width=80, download=True, verify=True, "
        "cache=f'{root}-c'))\n"
    )
    paths = os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests")])
    process = subprocess.Popen([sys.executable, "-c", program, str(root)], env=environment(PYTHONPATH=paths))
    try:
        end = time.monotonic() + 60
        while not when():
            assert process.poll() is None, "it ended by itself"
            assert time.monotonic() < end
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def test_a_missing_part_is_downloaded_checked_and_unpacked(server: Server, tmp_path: Path) -> None:
    root = tmp_path / "new" / "root"
    assert load_test(config(root)).labels.tolist() == LABELS
    assert names(root) == [".test.lock", "test"]  # the archive is not needed any more
    assert names(root / "test") == ["1.png", "2.png", "digitStruct.mat"]
    assert load_test(config(root)).labels.tolist() == LABELS
    assert server.ranges == [None]


def test_a_folder_that_is_there_is_never_replaced(server: Server, tmp_path: Path) -> None:
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "1.png").touch()
    with pytest.raises(
        UserError, match=r"test/digitStruct\.mat: no such file: .*test\.tar\.gz.*move .*test away[^\n]*$"
    ):
        load_test(config(tmp_path))
    assert names(tmp_path / "test") == ["1.png"]
    assert server.ranges == []


def test_processes_that_miss_a_part_at_once_download_it_once(server: Server, tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(load_test, [config(tmp_path)] * 2)
    assert first.labels.tolist() == second.labels.tolist() == LABELS
    assert server.ranges == [None]


def test_a_part_that_another_process_makes_between_two_looks_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its folder appears with its content: the first look finds no file, the second one would find the folder."""
    is_file = Path.is_file

    def is_file_before(path: Path) -> bool:
        found = is_file(path)
        if path.name == "digitStruct.mat" and not found:
            path.parent.mkdir()
            path.touch()
        return found

    monkeypatch.setattr(Path, "is_file", is_file_before)
    assert allowed_digit_struct(config(tmp_path), "test") == tmp_path / "test/digitStruct.mat"


@pytest.mark.parametrize("ignores_ranges", [False, True])
def test_a_killed_download_goes_on(server: Server, archive: Path, tmp_path: Path, ignores_ranges: bool) -> None:
    size, part = archive.stat().st_size, tmp_path / PART
    server.limits.append(size // 2)
    killed(tmp_path, server, "", lambda: part.exists() and part.stat().st_size > size // 4)
    assert not (tmp_path / "test").exists()
    half = part.stat().st_size
    if ignores_ranges:
        server.ignores_ranges.set()
    assert load_test(config(tmp_path)).labels.tolist() == LABELS
    assert server.ranges == [None, f"bytes={half}-"]
    assert names(tmp_path) == [".test.lock", "test"]


def test_a_process_killed_while_it_unpacks_leaves_no_half_folder(server: Server, tmp_path: Path) -> None:
    slow = (
        "original = tarfile.TarFile.extract\n"
        "def extract(tar, member, *words, **more):\n"
        "    original(tar, member, *words, **more)\n"
        "    if member.isfile(): time.sleep(60)\n"
        "tarfile.TarFile.extract = extract"
    )
    killed(tmp_path, server, slow, lambda: bool(list(tmp_path.glob(".test.download-*/test/*.*"))))
    assert not (tmp_path / "test").exists()
    assert load_test(config(tmp_path)).labels.tolist() == LABELS
    assert names(tmp_path) == [".test.lock", "test"]
    assert server.ranges == [None]  # what was downloaded is used


def test_a_connection_that_breaks_off_is_one_line_and_goes_on_later(
    server: Server, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = archive.stat().st_size
    server.limits.append(size // 2)
    with monkeypatch.context() as patched:
        patched.setattr(download, "_STALLED", 0.5)
        said = r"test: no such folder, and http.*test\.tar\.gz could not .*timed out[^\n]*$"
        with pytest.raises(UserError, match=said):
            load_test(config(tmp_path))
    server.go_on.set()
    server.limits.append(size // 4)  # closes the connection without a word
    with pytest.raises(
        UserError, match=rf"ended after {size // 2 + size // 4:,} of {size:,} bytes.*start again .it goes on"
    ):
        load_test(config(tmp_path))
    assert load_test(config(tmp_path)).labels.tolist() == LABELS
    assert server.ranges == [None, f"bytes={size // 2}-", f"bytes={size // 2 + size // 4}-"]


def test_a_wrong_checksum_is_one_line_and_leaves_nothing(
    server: Server, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photo_archives, "ARCHIVES", {"test": (archive.stat().st_size, "0" * 64)})
    for verify in (True, False):
        with pytest.raises(UserError, match=r"test\.tar\.gz: .*SHA-256 differs[^\n]*$"):
            load_test(config(tmp_path / "root", verify=verify))
        assert not (tmp_path / "root").exists()
    assert server.ranges == [None, None]


def test_an_archive_of_ones_own_is_checked_unpacked_and_kept(server: Server, archive: Path, tmp_path: Path) -> None:
    (tmp_path / "test.tar.gz").write_bytes(archive.read_bytes())
    with pytest.raises(UserError, match=r"test\.tar\.gz: unpack it in .*data\.download=true"):
        load_test(config(tmp_path, download=False))
    assert load_test(config(tmp_path)).labels.tolist() == LABELS
    assert names(tmp_path) == [".test.lock", "test", "test.tar.gz"]
    assert server.ranges == []


def test_another_archive_in_its_place_is_refused_and_kept(server: Server, archive: Path, tmp_path: Path) -> None:
    other = gzip.compress(gzip.decompress(archive.read_bytes()), 1)
    (tmp_path / "test.tar.gz").write_bytes(other)
    with pytest.raises(UserError, match=r"test\.tar\.gz: not the official file \(its SHA-256 differs\).*data\.verify"):
        load_test(config(tmp_path))
    assert names(tmp_path) == ["test.tar.gz"]
    assert load_test(config(tmp_path, verify=False)).labels.tolist() == LABELS
    assert (tmp_path / "test.tar.gz").read_bytes() == other
    assert server.ranges == []


def with_members(archive: Path, *members: tarfile.TarInfo) -> bytes:
    """The archive with more members in front of its own."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as new, tarfile.open(archive) as old:
        for member in members:
            new.addfile(member, io.BytesIO(bytes(member.size)))
        for member in old:
            new.addfile(member, old.extractfile(member))
    return out.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, 3 if kind == tarfile.REGTYPE else 0
    return info


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    "bad",
    [
        member("../x.txt"),
        member("../../x.txt"),
        member("test/../../../x.txt"),
        member("test/x.txt", tarfile.SYMTYPE, "../../x.txt"),
        member("test/x.txt", tarfile.SYMTYPE, "1.png"),
        member("test/x.txt", tarfile.FIFOTYPE),
    ],
    ids=lambda bad: f"{bad.name}-{bad.type.decode()}",
)
def test_a_member_that_is_no_file_inside_is_refused(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: tarfile.TarInfo
) -> None:
    """Also where the checksum is right."""
    root = tmp_path / "home" / "root"
    root.mkdir(parents=True)
    content = with_members(archive, bad)
    publish(monkeypatch, content)
    (root / "test.tar.gz").write_bytes(content)
    with pytest.raises(UserError, match=r"test\.tar\.gz: .*x\.txt.*[^\n]*$"):
        load_test(config(root))
    assert names(root) == ["test.tar.gz"]
    assert not list(tmp_path.rglob("x.txt"))


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    "content",
    [
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole[:-6] + bytes([whole[-6] ^ 1]) + whole[-5:],
        lambda _: b"nothing of the kind",
        lambda _: gzip.compress(b"nothing of the kind" * 100),
        lambda _: gzip.compress(bytes(10240)),
    ],
    ids=["cut off", "a bit of its checksum", "not gzip", "not tar", "empty"],
)
def test_a_damaged_archive_is_one_line(archive: Path, tmp_path: Path, content: Callable[[bytes], bytes]) -> None:
    (tmp_path / "test.tar.gz").write_bytes(content(archive.read_bytes()))
    with pytest.raises(UserError, match=r"test\.tar\.gz: (damaged \(.+\)|has no test/digitStruct\.mat): [^\n]+$"):
        load_test(config(tmp_path, verify=False))
    assert names(tmp_path) == ["test.tar.gz"]


@pytest.mark.usefixtures("server")
def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(tarfile.TarFile, "extract", full)
        with pytest.raises(UserError, match=r"data\.root=.*: No space left on device: make room$"):
            load_test(config(tmp_path))
    assert names(tmp_path) == [PART]
    assert load_test(config(tmp_path)).labels.tolist() == LABELS


def test_a_disk_that_is_too_small_is_noticed_before(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photo_archives, "ARCHIVES", {"test": (10**18, "0" * 64)})
    with pytest.raises(UserError, match=r"data\.root=.*GB are free.*needs 2000000000\.0 GB: make room"):
        load_test(config(tmp_path / "root"))
    assert server.ranges == []
    assert not (tmp_path / "root").exists()


@pytest.mark.usefixtures("server")
@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_one_line(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(UserError, match=r"data\.root=.*: Permission denied: permit access to it$"):
            load_test(config(tmp_path, cache=None))
    finally:
        tmp_path.chmod(0o700)


def test_a_place_that_no_folder_can_have_is_one_line(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"data\.root=.*file/root: Not a directory: .*move it away$"):
        load_test(config(tmp_path / "file" / "root", cache=str(tmp_path)))
    assert server.ranges == []


def test_training_without_a_network_is_one_line(command: Command, tmp_path: Path) -> None:
    words = ["data=svhn_photo_numbers", "model=number_reader", "data.root=photos", "hydra.run.dir=run"]
    nobody = "http://127.0.0.1:9"  # the discard port
    done = command("train", *words, http_proxy=nobody, no_proxy="", HTTP_PROXY=nobody)
    assert done.returncode == 2
    error = done.stderr.splitlines()[-1]
    assert error.startswith("error: ")
    assert "/photos/test: no such folder, and http://ufldl.stanford.edu/housenumbers/test.tar.gz could not be" in error
    assert "refused" in error
    assert not (tmp_path / "photos").exists()
