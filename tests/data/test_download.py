"""Downloads: they end, and leave the whole file or nothing."""

import socket
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from support import data_config

from housenumbers.data import download as module
from housenumbers.data.download import download
from housenumbers.data.load import load_test
from housenumbers.runtime.errors import UserError


@pytest.fixture
def stalling(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server that sends half of each file and then nothing more."""
    monkeypatch.setattr(module, "_STALLED", 0.5)
    ended = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(bytes(500))
            ended.wait(30)

        def do_HEAD(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_port}"
    ended.set()
    running.shutdown()


def test_a_server_that_stops_sending_is_given_up_in_one_line(
    stalling: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision.datasets import SVHN

    monkeypatch.setattr(SVHN, "split_list", {"test": [f"{stalling}/test_32x32.mat", "test_32x32.mat", "0" * 32]})
    with pytest.raises(UserError, match=r"could not be downloaded.*timed out.*data\.root"):
        load_test(data_config(tmp_path, download=True))
    assert list(tmp_path.iterdir()) == []
    assert socket.getdefaulttimeout() is None


def test_published_weights_that_stall_are_given_up(
    stalling: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from housenumbers.training.transfer import load_pretrained

    class Published(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = torch.nn.Linear(1, 1)

        def published_weights(self) -> str:
            return "https://example.invalid/net-12345678.pth"

    original = urllib.request.urlopen
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "urlopen", lambda _, **more: original(f"{stalling}/net.pth", **more))
    with pytest.raises(UserError, match=r"model\.pretrained=true.*cannot be downloaded \(timed out\)"):
        load_pretrained(Published(), True)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_download_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / ".a.mat.download-1234"
    left.mkdir()
    (left / "a.mat").write_bytes(b"half")
    of_another = tmp_path / ".b.mat.download-1234"
    of_another.mkdir()
    download(tmp_path / "a.mat", lambda temporary: temporary.write_bytes(b"whole"))
    assert (tmp_path / "a.mat").read_bytes() == b"whole"
    assert not left.exists()
    assert of_another.exists()  # perhaps its process is at work


def test_a_download_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fetch(temporary: Path) -> None:
        temporary.write_bytes(b"half")
        raise RuntimeError("the checksum differs")

    for file in ("a.mat", "new/deep/a.mat"):
        with pytest.raises(RuntimeError, match="checksum"):
            download(tmp_path / file, fetch)
        assert list(tmp_path.iterdir()) == []


def test_a_download_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    def fetch(_: Path) -> None:
        (tmp_path / "new" / "of another").touch()
        raise RuntimeError("the checksum differs")

    with pytest.raises(RuntimeError, match="checksum"):
        download(tmp_path / "new" / "a.mat", fetch)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["of another"]


def test_an_answer_that_is_not_http_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.datasets import SVHN

    def answer(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(b"220 mail.example ESMTP\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer, args=(listener,), daemon=True)
        thread.start()
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/test_32x32.mat"
        monkeypatch.setattr(SVHN, "split_list", {"test": [address, "test_32x32.mat", "0" * 32]})
        with pytest.raises(UserError, match=r"could not be downloaded \(not an answer in HTTP: BadStatusLine"):
            load_test(data_config(tmp_path, download=True))
        thread.join()
