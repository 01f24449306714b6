"""What visitors send takes a bounded amount of memory and time, and comes from the page alone."""

import asyncio
import http.client
import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from serving import served

from housenumbers.demo import request_checks
from housenumbers.demo.answers import Models
from housenumbers.demo.image_input import MAX_BYTES
from housenumbers.demo.server import application

Ask = Callable[..., tuple[int, bytes]]


@pytest.fixture(scope="module")
def server(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, psutil.Process]]:
    """The port of a server that offers the run `finished`, and its process."""
    home = tmp_path_factory.mktemp("server")
    shutil.copytree(finished, home / "finished")
    with served(home, "run=finished", "threads=1") as (address, process):
        yield int(address.rpartition(":")[2]), psutil.Process(process.pid)


@pytest.fixture(scope="module")
def ask(server: tuple[int, psutil.Process]) -> Ask:
    """Posts a body: the status, and what is answered."""

    def post(body: bytes, path: str = "/answer?run=finished", **headers: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", server[0], timeout=300)
        connection.request("POST", path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return response.status, response.read()

    return post


def begin(port: int, *headers: str) -> socket.socket:
    """A connection on which the head of a question has been sent."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=60)
    lines = ["POST /answer?run=finished HTTP/1.1", "Host: localhost", *headers, "", ""]
    connection.sendall("\r\n".join(lines).encode())
    return connection


def test_many_large_uploads_at_once_take_little_memory_and_are_all_answered(
    ask: Ask, server: tuple[int, psutil.Process]
) -> None:
    assert ask(b"no image")[0] == 200
    _, process = server
    content, statuses = os.urandom(MAX_BYTES - 1000), []
    visitors = [threading.Thread(target=lambda: statuses.append(ask(content)[0])) for _ in range(60)]
    before = most = process.memory_info().rss
    for visitor in visitors:
        visitor.start()
    while any(visitor.is_alive() for visitor in visitors):
        most = max(most, process.memory_info().rss)
        time.sleep(0.01)
    assert statuses == [200] * 60
    assert most - before < 350_000_000  # eight at once, each as it came and as one piece; all 60 are 600 MB


def test_a_body_that_is_said_to_be_too_large_is_not_waited_for(server: tuple[int, psutil.Process]) -> None:
    with begin(server[0], f"Content-Length: {10**12}") as connection:
        assert connection.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_a_body_without_an_end_is_read_no_further(server: tuple[int, psutil.Process]) -> None:
    chunk = b"100000\r\n" + bytes(2**20) + b"\r\n"
    with begin(server[0], "Transfer-Encoding: chunked") as connection:
        with pytest.raises(OSError, match=r"reset|pipe"):  # noqa: PT012 (whichever of them it is)
            for _ in range(1000):
                connection.sendall(chunk)
        assert b" 413 " in connection.recv(1000)


def test_who_sends_a_little_too_much_still_gets_an_answer(ask: Ask) -> None:
    status, told = ask(bytes(3 * MAX_BYTES))
    assert status == 413
    assert b"too large: 10 MB at most" in told


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),  # no browser
        ({"Origin": "http://localhost", "Host": "localhost"}, 200),
        ({"Origin": "https://localhost:7000", "Host": "localhost:7000", "Sec_Fetch_Site": "same-origin"}, 200),
        ({"Origin": "http://elsewhere.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Origin": "http://localhost:1", "Host": "localhost"}, 403),
        ({"Origin": "http://localhost", "Host": "localhost", "Sec_Fetch_Site": "same-site"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "none"}, 403),
    ],
)
def test_another_page_may_not_ask(ask: Ask, headers: dict[str, str], status: int) -> None:
    assert ask(b"no image", **headers)[0] == status


@pytest.mark.parametrize("path", ["/answer", "/answer?run=", "/answer?drawn=true"])
def test_without_a_run_it_says_what_is_missing(ask: Ask, path: str) -> None:
    status, told = ask(b"no image", path)
    assert status == 400
    assert b"/answer?run=FOLDER" in told


def test_an_interruption_beside_slow_uploads_is_one_line(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "finished")
    with served(tmp_path, "run=finished", "threads=1") as (address, process):
        port = int(address.rpartition(":")[2])
        slow = [begin(port, "Content-Length: 1000") for _ in range(10)]  # more than are read at once
        too_large = begin(port, f"Content-Length: {10**12}")
        silent = socket.create_connection(("127.0.0.1", port))
        slow[0].sendall(b"its beginning")
        assert too_large.recv(100)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
        assert (process.returncode, told) == (130, "interrupted\n")
        for connection in (*slow, too_large, silent):
            connection.close()


def test_an_upload_that_does_not_come_to_its_end_is_given_up(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_checks, "_DEADLINE", 0.1)
    monkeypatch.setattr(request_checks, "_DISCARD_SECONDS", 0.1)
    first, told = iter([{"type": "http.request", "body": b"a", "more_body": True}]), []

    async def receive() -> Any:
        for message in first:
            return message
        return await asyncio.Event().wait()

    async def send(message: Any) -> None:
        told.append(message)

    scope = {
        "type": "http", "method": "POST", "path": "/answer", "query_string": f"run={finished}".encode(),
        "headers": [(b"host", b"127.0.0.1")],
    }  # fmt: skip
    asyncio.run(application(Models(finished, []), "127.0.0.1")(scope, receive, send))  # type: ignore[arg-type]
    assert told[0]["status"] == 408
    assert b"took longer" in told[1]["body"]
