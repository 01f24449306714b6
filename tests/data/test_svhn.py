"""SVHN's files: official ones, others in their format, and damaged ones."""

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from support import REAL_SVHN, ROOT, environment, write_mat
from support import data_config as config

from housenumbers.data.load import load_splits, load_test
from housenumbers.runtime.errors import UserError

needs_real = pytest.mark.skipif(not REAL_SVHN.exists(), reason="the real crops are not beside this checkout")


def positions(images: torch.Tensor) -> list[tuple[int, int]]:
    """The part and the position that conftest.write_mat painted into the crops."""
    return [(int(red), int(green) * 256 + int(blue)) for red, green, blue in images[:, :, 0, 0]]


def test_extra_joins_after_the_split(svhn_folder: Path) -> None:
    without = load_splits(config(svhn_folder))
    joined = load_splits(config(svhn_folder, use_extra="true"))
    assert without.validation is not None
    assert joined.validation is not None
    assert torch.equal(joined.validation.images, without.validation.images)
    assert positions(joined.train.images) == positions(without.train.images) + [(2, place) for place in range(150)]
    alone = load_splits(config(svhn_folder, use_extra="only", val_fraction=0))
    assert positions(alone.train.images) == [(2, place) for place in range(150)]
    assert len({splits.sha256 for splits in (without, joined, alone)}) == 3


def test_reduce_leaves_the_test_part_whole(svhn_folder: Path) -> None:
    reduced = load_splits(config(svhn_folder, split="random", reduce=0.5))
    assert len(reduced.train.labels) == 240
    assert reduced.validation is not None
    assert len(reduced.validation.labels) == 60
    assert len(load_test(config(svhn_folder, reduce=0.5)).labels) == 120


def test_no_validation_trains_on_everything(svhn_folder: Path) -> None:
    splits = load_splits(config(svhn_folder, val_fraction=0))
    assert splits.validation is None
    assert len(splits.train.labels) == 600


def test_equal_data_equal_hash(svhn_folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(svhn_folder, tmp_path / "copy")
    assert load_splits(config(svhn_folder)).sha256 == load_splits(config(copy)).sha256
    assert load_splits(config(svhn_folder)).sha256 != load_splits(config(svhn_folder, split_seed=1)).sha256
    write_mat(copy / "train_32x32.mat", 600, shade=9)
    assert load_splits(config(svhn_folder)).sha256 != load_splits(config(copy)).sha256


def test_a_second_start_reads_the_cache_and_a_changed_file_is_read_anew(svhn_folder: Path) -> None:
    first = load_test(config(svhn_folder))
    (entry,) = (svhn_folder / "cache").glob("*.pt")
    written = entry.stat().st_mtime_ns
    assert torch.equal(load_test(config(svhn_folder)).images, first.images)
    assert entry.stat().st_mtime_ns == written
    write_mat(svhn_folder / "test_32x32.mat", 121, shade=1)
    assert len(load_test(config(svhn_folder)).labels) == 121


@pytest.mark.parametrize("keep", [0, 100, 200_000])
def test_a_damaged_cache_entry_is_made_again(svhn_folder: Path, keep: int) -> None:
    first = load_test(config(svhn_folder))
    (entry,) = (svhn_folder / "cache").glob("*.pt")
    entry.write_bytes(entry.read_bytes()[:keep])
    assert torch.equal(load_test(config(svhn_folder)).images, first.images)
    assert entry.stat().st_size > keep


def test_of_processes_that_begin_together_one_decodes(svhn_folder: Path) -> None:
    code = (
        "import sys, logging; from pathlib import Path; from support import data_config\n"
        "import housenumbers.data.svhn as svhn; from housenumbers.data.load import load_splits\n"
        "original = svhn.read_mat\n"
        "def slow(path):\n    print('decoded', flush=True); import time; time.sleep(1); return original(path)\n"
        "svhn.read_mat = slow\n"
        "print(len(load_splits(data_config(Path(sys.argv[1]))).train.labels))"
    )
    paths = os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests")])
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(svhn_folder)], env=environment(PYTHONPATH=paths),
            stdout=subprocess.PIPE, text=True,
        )
        for _ in range(3)
    ]  # fmt: skip
    outputs = [process.communicate(timeout=300)[0].split() for process in processes]
    assert sum(output.count("decoded") for output in outputs) == 1
    assert len({output[-1] for output in outputs}) == 1


def test_a_cache_that_cannot_be_written_costs_nothing_else(svhn_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (svhn_folder / "cache").write_text("a file where the folder should be")
    assert len(load_test(config(svhn_folder)).labels) == 120
    assert "without a cache" in caplog.text


def test_a_file_that_is_not_the_official_one_is_refused_and_kept(svhn_folder: Path) -> None:
    before = (svhn_folder / "test_32x32.mat").read_bytes()
    with pytest.raises(UserError, match=r"data\.verify=false"):
        load_test(config(svhn_folder, verify=True, download=True))
    assert (svhn_folder / "test_32x32.mat").read_bytes() == before


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.root=FOLDER"):
        load_test(config(tmp_path))


@pytest.fixture
def server(svhn_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """SVHN's server as far as the download sees it: on loopback, with MD5 sums of our small files. What it sent."""
    import hashlib

    from torchvision.datasets import SVHN

    sent = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            sent.append(self.path)
            time.sleep(0.2)  # so that what else wants it has begun, too
            content = (svhn_folder / self.path.strip("/")).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_HEAD(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{running.server_port}"
    parts = {}
    for part in ("train", "test", "extra"):
        name = f"{part}_32x32.mat"
        parts[part] = [f"{address}/{name}", name, hashlib.md5((svhn_folder / name).read_bytes()).hexdigest()]
    monkeypatch.setattr(SVHN, "split_list", parts)
    yield sent
    running.shutdown()


@pytest.mark.usefixtures("server")
def test_a_missing_file_is_downloaded_and_checked(svhn_folder: Path, tmp_path: Path) -> None:
    root = tmp_path / "fresh"
    data = load_test(config(root, download=True, verify=True))
    assert torch.equal(data.images, load_test(config(svhn_folder)).images)
    assert sorted(path.name for path in root.iterdir()) == [".test_32x32.mat.lock", "cache", "test_32x32.mat"]


def test_processes_that_miss_a_file_at_once_download_it_once(server: list[str], tmp_path: Path) -> None:
    """As those of torchrun do; threads here, which the lock keeps apart just so."""
    load_test(config(tmp_path / "alone", download=True, verify=True))
    asked = len(server)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(load_test, [config(tmp_path / "both", download=True, verify=True)] * 2)
    assert torch.equal(first.images, second.images)
    assert len(server) == 2 * asked


@pytest.mark.usefixtures("server")
def test_a_download_with_the_wrong_checksum_leaves_nothing(svhn_folder: Path, tmp_path: Path) -> None:
    write_mat(svhn_folder / "test_32x32.mat", 77)
    with pytest.raises(UserError, match="could not be downloaded"):
        load_test(config(tmp_path / "fresh", download=True, verify=True))
    assert not (tmp_path / "fresh").exists()


def test_without_a_network_one_line_names_the_ways_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.datasets import SVHN

    address = "http://127.0.0.1:9/train_32x32.mat"  # the discard port: nobody listens
    monkeypatch.setattr(SVHN, "split_list", {"train": [address, "train_32x32.mat", "0"]})
    with pytest.raises(UserError, match=r"could not be downloaded.*data\.root.*data=digits"):
        load_splits(config(tmp_path, download=True))


@needs_real
def test_svhn_6k_is_checked_by_content(svhn_folder: Path, tmp_path: Path) -> None:
    cache = str(tmp_path / "cache")
    splits = load_splits(config(REAL_SVHN, name="svhn_6k", use_extra="true", val_fraction=0, cache=cache))
    assert len(splits.train.labels) == 6083
    assert len(load_test(config(REAL_SVHN, name="svhn_6k", cache=cache)).labels) == 1001
    with pytest.raises(UserError, match="SVHN-6k"):
        load_test(config(svhn_folder, name="svhn_6k"))


@needs_real
def test_svhn_6k_is_cut_from_the_official_files(tmp_path: Path) -> None:
    """Files laid out like the official ones, longer than what we have: the cuts find the same crops in them."""
    root, cache = tmp_path / "official", str(tmp_path / "cache")
    root.mkdir()
    real = {part: scipy.io.loadmat(REAL_SVHN / f"{part}_32x32.mat") for part in ("train", "test", "extra")}
    padding = np.zeros((32, 32, 3, 50), np.uint8), np.ones((50, 1), np.uint8)

    def save(part: str, *pieces: tuple[np.ndarray, np.ndarray]) -> None:
        pixels, labels = zip(*pieces, padding, strict=True)
        content = {"X": np.concatenate(pixels, axis=3), "y": np.concatenate(labels)}
        scipy.io.savemat(root / f"{part}_32x32.mat", content)

    save("test", (real["train"]["X"], real["train"]["y"]), (real["test"]["X"], real["test"]["y"]))
    save("train", (real["extra"]["X"], real["extra"]["y"]))
    arguments = {"name": "svhn_6k", "use_extra": "true", "cache": cache}
    cut, whole = load_splits(config(root, **arguments)), load_splits(config(REAL_SVHN, **arguments))
    assert cut.sha256 == whole.sha256
    assert torch.equal(cut.train.images, whole.train.images)
    test = {"name": "svhn_6k", "cache": cache}
    assert torch.equal(load_test(config(root, **test)).images, load_test(config(REAL_SVHN, **test)).images)
