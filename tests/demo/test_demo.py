"""The page to try a model: as a visitor sees it in a browser, and as a process of this machine."""

import asyncio
import base64
import http.client
import io
import json
import re
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit
from urllib.request import urlopen

import numpy as np
import psutil
import pytest
import torch
from networks import as_if_it_had_learnt, sure
from PIL import Image
from serving import files, served, start
from support import Command, run_folders
from visit import Visit

from housenumbers.data.digits import read_digits
from housenumbers.data.folder import read_image
from housenumbers.data.glyphs import MARKS, font_files, load_fonts
from housenumbers.data.load import load_test
from housenumbers.data.number_image import read_number_image
from housenumbers.data.render_number import render_number
from housenumbers.demo.answers import Models, answer, answer_image, examples
from housenumbers.demo.image_input import MAX_BYTES
from housenumbers.demo.server import application
from housenumbers.demo.server_socket import check_installed, listen
from housenumbers.evaluation.trained_model import load_trained_model, rebuild_model
from housenumbers.prediction.find_numbers import Photo, find_number, part_of, read_photo
from housenumbers.prediction.image_command import MIN_CONFIDENCE
from housenumbers.prediction.read_numbers import Reading, read_images
from housenumbers.pretrained import DIGITS, MODELS, NUMBERS
from housenumbers.runtime.errors import UserError
from housenumbers.training.checkpoint import load_checkpoint

SEVEN = [(-70, -100), (80, -100), (0, 110)]  # from the canvas's middle
ZERO = [(round(80 * np.cos(angle)), round(110 * np.sin(angle))) for angle in np.linspace(0, 2 * np.pi, 25)]
# Of 32 by 32 pixels, the row and column of places with ink, and of places without.
IN_SEVEN, BESIDE_SEVEN = [(4, 8), (4, 16), (4, 23), (16, 20), (26, 16)], [(16, 8), (26, 8), (26, 24)]
IN_ZERO, BESIDE_ZERO = [(4, 16), (16, 6), (16, 25), (27, 16)], [(16, 16), (4, 4), (27, 27)]


@pytest.fixture
def home(finished: Path, tmp_path: Path) -> Path:
    """A working folder with the run `finished`, and one of the same network that tells images apart, `good`."""
    shutil.copytree(finished, tmp_path / "outputs" / "others" / finished.name)
    best = finished / "checkpoints/best.pt"
    model = rebuild_model(load_checkpoint(best), best, torch.device("cpu"))
    good = sure(model, read_digits(None, "test")[0].images[:100]).state_dict()  # type: ignore[arg-type]
    as_if_it_had_learnt(finished, tmp_path / "outputs/day/good", good, "name=good")
    return tmp_path


def write_digit(file: Path) -> None:
    """Writes a test digit, enlarged."""
    images, _ = read_digits(None, "test")  # type: ignore[arg-type]
    Image.fromarray(images.images[3].permute(1, 2, 0).numpy()).resize((200, 200)).save(file)


def assert_answered(page: Visit, run: Path, said: str) -> None:
    """What the page has told is what the run's model makes of the image that the page shows."""
    image = torch.tensor(page.pixels("image")).permute(2, 0, 1)
    expected = answer_image(load_trained_model(run), image)
    assert said == f"{expected['label']} {100 * max(expected['probabilities']):.1f} % sure"
    assert page.percents() == pytest.approx([100 * each for each in expected["probabilities"]], abs=0.051)
    attention = Image.open(io.BytesIO(base64.b64decode(expected["attention"].partition(",")[2])))
    assert np.abs(page.pixels("attention").astype(int) - np.asarray(attention)).max() <= 1


def assert_drawn(page: Visit, inked: list[tuple[int, int]], bare: list[tuple[int, int]], ink_is_dark: bool) -> None:
    """The image that the page shows has ink in some places, and none in others."""
    dark = page.pixels("image").mean(axis=2) < 127
    assert [dark[place] == ink_is_dark for place in (*inked, *bare)] == [True] * len(inked) + [False] * len(bare)


@pytest.fixture
def visit() -> Iterator[Callable[[str], Visit]]:
    browser, chromedriver = shutil.which("chromium"), shutil.which("chromedriver")
    if browser is None or chromedriver is None:
        pytest.skip("needs a browser that can be driven, Debian's packages chromium and chromium-driver")
    visits: list[Visit] = []

    def begin(address: str) -> Visit:
        visits.append(Visit(address, browser, chromedriver))
        return visits[-1]

    yield begin
    for each in visits:
        each.driver.quit()


@pytest.mark.slow
def test_a_visit(visit: Callable[[str], Visit], home: Path) -> None:  # one, since a server and a browser take seconds
    write_digit(home / "digit.png")
    (home / "text.png").write_text("not an image")
    with (home / "huge.png").open("wb") as huge:
        huge.truncate(3 * MAX_BYTES)
    Image.new("1", (6000, 5000)).save(home / "bomb.png")
    good, other = run_folders(home)

    with served(home, f"run={good.relative_to(home)}") as (address, process):
        page = visit(address)
        page.load(1200, "light")
        before = files(home)

        for said in (
            page.choose(home / "digit.png"),
            page.hand_in("paste", home / "digit.png"),
            page.hand_in("drop", home / "digit.png"),
        ):
            assert_answered(page, good, said)
        assert (page.pixels("image") == read_image(home / "digit.png").permute(1, 2, 0).numpy()).all()
        assert "good/checkpoints/best.pt: temperature" in page.element("#about").text

        assert_answered(page, good, page.draw(SEVEN))
        assert_drawn(page, IN_SEVEN, BESIDE_SEVEN, ink_is_dark=True)
        certain = page.percents()
        assert_answered(page, other, page.choose_run("finished"))
        assert page.percents() != certain
        assert "finished/checkpoints/best.pt" in page.element("#about").text
        assert_answered(page, good, page.choose_run("good"))
        assert page.percents() == certain
        assert_answered(page, good, page.answer_to(page.element("#swap").click))
        assert_drawn(page, IN_SEVEN, BESIDE_SEVEN, ink_is_dark=False)
        assert page.answer_to(page.element("#clear").click) == "The canvas is empty: draw a digit or a number."
        assert not page.element("#details").is_displayed()

        assert "no image" in page.choose(home / "text.png")
        assert "too large: 10 MB" in page.choose(home / "huge.png")
        assert "too many pixels" in page.choose(home / "bomb.png")

        page.load(390, "dark")
        assert_answered(page, good, page.draw(ZERO))
        assert_drawn(page, IN_ZERO, BESIDE_ZERO, ink_is_dark=False)
        examples = page.wait(lambda: page.driver.find_elements("css selector", "#examples button"))
        assert len(examples) == 10
        assert_answered(page, good, page.answer_to(examples[8].click))
        assert page.driver.execute_script("return [innerWidth, document.documentElement.scrollWidth]") == [390, 390]
        assert page.wider_than(390) == []
        corner = "return [...document.getElementById('canvas').getContext('2d').getImageData(0, 0, 1, 1).data]"
        assert page.driver.execute_script(corner)[0] < 50  # light on dark

        assert page.driver.get_log("browser") == []
        asked = page.requests()
        assert any("/answer" in url for url in asked)
        assert {urlsplit(url).netloc for url in asked} == {urlsplit(address).netloc}
        process.send_signal(signal.SIGINT)  # while the browser holds its connections
        assert process.wait(20) == 130
        assert files(home) == before


@pytest.mark.slow
def test_a_visit_to_a_model_of_numbers(
    visit: Callable[[str], Visit], finished: Path, numbers_run: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished, tmp_path / "outputs" / "one" / "finished")
    shutil.copytree(numbers_run, tmp_path / "outputs" / "two" / "numbers")
    trained = load_trained_model(numbers_run)
    image = load_test(trained.config.data).images[0]
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(tmp_path / "plate.png")
    reading = read_images(trained, [image])[0].with_min_confidence(MIN_CONFIDENCE)
    with served(tmp_path, "run=outputs/two/numbers") as (address, _):
        page = visit(address)
        page.load(390, "light")
        said = page.choose(tmp_path / "plate.png")
        sure = f"{100 * reading.confidence:.1f} %"
        assert said == (f"{reading.number} {sure} sure" if reading.number else f"no number the likeliest one: {sure}")
        assert (page.pixels("image") == image.permute(1, 2, 0).numpy()).all()
        assert len(page.driver.find_elements("css selector", "#digits li")) == len(reading.number)
        assert not page.element("#bars").is_displayed()
        assert not page.element("#attention").is_displayed()
        page.draw(ZERO)
        assert page.wider_than(390) == []
        alternatives = "return [...document.querySelectorAll('#examples img')].map(image => image.alt)"
        page.wait(lambda: len(page.driver.execute_script(alternatives)) == 10)
        numbers = page.driver.execute_script(alternatives)
        assert any(len(text) > len("a rendered 0") for text in numbers)
        page.choose_run("finished")
        page.wait(lambda: page.driver.execute_script(alternatives) == [f"a rendered {label}" for label in range(10)])
        assert page.element("#bars").is_displayed()
        assert page.element("#attention").is_displayed()
        assert page.driver.get_log("browser") == []


def test_the_process(finished: Path, tmp_path: Path) -> None:
    with served(tmp_path, f"run={finished}") as (address, process):
        place = urlsplit(address)
        before = files(tmp_path)

        def ask(method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
            connection = http.client.HTTPConnection(place.netloc, timeout=60)
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            response = connection.getresponse()
            return response.status, response.read()

        listening = [each.laddr for each in psutil.Process(process.pid).net_connections() if each.status == "LISTEN"]
        assert [(each.ip, each.port) for each in listening] == [("127.0.0.1", place.port)]

        write_digit(tmp_path / "digit.png")
        digit = (tmp_path / "digit.png").read_bytes()
        (tmp_path / "digit.png").unlink()
        status, content = ask("POST", f"/answer?run={finished}", digit)
        assert status == 200
        assert sum(json.loads(content)["probabilities"]) == pytest.approx(1, abs=1e-4)
        assert b"too large" in ask("POST", f"/answer?run={finished}", bytes(5 * MAX_BYTES))[1]
        assert b"no saved run" in ask("POST", "/answer?run=/etc", digit)[1]
        assert ask("POST", f"/answer?run={finished}", digit, Sec_Fetch_Site="cross-site")[0] == 403
        assert ask("GET", "/", Host="elsewhere.example")[0] == 400
        assert ask("GET", "/", Host=f"localhost:{place.port}")[0] == 200
        assert [ask("GET", path)[0] for path in ("/docs", "/openapi.json", "/../demo.py")] == [404, 404, 404]

        with socket.create_connection((place.hostname, place.port)) as cut_off:
            cut_off.sendall(b"POST /answer HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf")
        assert ask("GET", "/")[0] == 200

        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=120)
        assert (process.returncode, told) == (130, "interrupted\n")
        assert files(tmp_path) == before


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="Linux alone tells so what a process has loaded")
def test_an_interruption_while_it_loads_is_one_line(finished: Path, tmp_path: Path) -> None:
    process = start(tmp_path, f"run={finished}")
    while "libtorch" not in Path(f"/proc/{process.pid}/maps").read_text():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=300)
    assert (process.returncode, told) == (130, "interrupted\n")


async def post(models: Models, *messages: dict[str, Any], ends_on: threading.Event | None = None) -> int:
    """The status that the application gives to a visitor who sends these; the server ends on that event."""
    come, told = iter(messages), []

    async def receive() -> Any:
        return next(come)

    async def send(message: Any) -> None:
        told.append(message)

    headers = [(b"host", b"127.0.0.1")]
    scope = {"type": "http", "method": "POST", "path": "/answer", "query_string": b"run=finished", "headers": headers}
    task = asyncio.create_task(application(models, "127.0.0.1")(scope, receive, send))  # type: ignore[arg-type]
    if ends_on is not None:
        await asyncio.to_thread(ends_on.wait)
        task.cancel()
    await task
    return int(told[0]["status"])


def test_visitors_that_leave_and_a_server_that_ends(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = Models(finished, [])
    asked: list[str] = []
    monkeypatch.setattr(models, "load", asked.append)
    image, left = {"type": "http.request", "body": b"an image"}, {"type": "http.disconnect"}
    assert asyncio.run(post(models, image, left)) == 400
    assert not asked
    begun = threading.Event()

    def load(_: str) -> None:
        begun.set()
        time.sleep(1)  # in a thread, while the server ends

    monkeypatch.setattr(models, "load", load)
    still_there = {"type": "http.request", "body": b""}
    assert asyncio.run(post(models, image, still_there, ends_on=begun)) == 503  # and no traceback


def test_a_sweeps_trials_are_offered_where_they_are_asked_for(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    single = shutil.copytree(finished, Path("outputs/single"))
    trial = shutil.copytree(finished, Path("multirun/s/trial_0000"))
    record = json.loads((trial / "run.json").read_text())
    (trial / "run.json").write_text(json.dumps(record | {"trial": {"number": 0}, "started": "2100"}))
    pretrained = [str(model.file) for model in MODELS.values()]
    assert list(Models(single, []).choices()) == [str(single), *pretrained]
    assert list(Models(single, [], trials=True).choices()) == [str(single), *pretrained, str(trial)]
    asked_for = Models(trial, []).choices()
    assert list(asked_for) == [str(trial), *pretrained, str(single)]
    assert asked_for[str(trial)].startswith("finished, resnet31, digits, ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run=last"], "python src/train.py experiment=quickstart"),
        (["run=nowhere"], "run=nowhere"),
        (["port=70000"], "port=70000"),
        (["port=abc"], "port"),
        (["host=192.0.2.1"], "host=192.0.2.1"),
        (["data.root=x"], "data.root"),
    ],
)
def test_mistakes_are_one_line(finished: Path, command: Command, words: list[str], said: str) -> None:
    done = command("demo", *([] if words[0].startswith("run") else [f"run={finished}"]), *words)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert said in line


def test_a_port_in_use_is_one_line(finished: Path, command: Command) -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        done = command("demo", f"run={finished}", f"port={port}")
    assert (done.returncode, done.stderr) == (
        2,
        f"error: port={port}: in use: choose another, or port=0 for any free one\n",
    )


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    check_installed()
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(UserError, match=r"uvicorn: not installed: pip install -e '.\[demo\]'"):
        check_installed()


def test_without_a_run_it_reads_numbers_and_offers_both_models_of_the_code(tmp_path: Path) -> None:
    write_digit(tmp_path / "digit.png")
    process = start(tmp_path, "threads=1")
    try:
        assert process.stdout is not None
        address = process.stdout.readline().split(" ")[0]
        page = urlopen(address).read().decode()
        offered = re.findall(r'<option value="(.*?)">(\w+): ', page)
        assert [(Path(file), name) for file, name in offered] == [(model.file, name) for name, model in MODELS.items()]
        for (file, _), key in zip(offered, ("number", "probabilities"), strict=True):
            query = urlencode({"run": file})
            with urlopen(f"{address}/answer?{query}", (tmp_path / "digit.png").read_bytes()) as answer:
                assert key in json.load(answer)
    finally:
        process.terminate()
        _, told = process.communicate()
    assert told.startswith("run=pretrained_numbers: whole numbers, a model that comes with the code")
    assert not (tmp_path / "outputs").exists()


def test_the_rendered_examples_are_of_the_kind_that_the_model_reads() -> None:
    reader, labeller = (load_trained_model(pretrained.file) for pretrained in (MODELS[NUMBERS], MODELS[DIGITS]))
    assert [example["shows"] for example in examples(labeller)] == list("0123456789")
    of_numbers = examples(reader)
    assert len(of_numbers) == 10
    assert {len(example["shows"]) for example in of_numbers} > {2}
    with urlopen(of_numbers[0]["image"]) as image:
        assert Image.open(io.BytesIO(image.read())).size == (reader.config.data.width, 32)


def test_a_number_in_a_photo_is_looked_for_where_that_is_surer(tmp_path: Path) -> None:
    trained = load_trained_model(MODELS["pretrained_numbers"].file)
    fonts = load_fonts(font_files("matplotlib"), MARKS)
    image, _ = render_number((0, 2, 5), 80, 0.2, fonts)
    for size, left, top in (((80, 32), 0, 0), ((400, 300), 150, 120)):
        scene = Image.new("RGB", size, (90, 100, 110))
        scene.paste(Image.fromarray(image.permute(1, 2, 0).numpy()), (left, top))
        scene.save(tmp_path / "photo.png")
        given = answer(trained, (tmp_path / "photo.png").read_bytes(), drawn=False)
        (plain,) = read_images(trained, [read_number_image(tmp_path / "photo.png", 80)])
        found = find_number(trained, read_photo(tmp_path / "photo.png"))
        is_found = size[1] > 64 and found.number != "" and found.confidence > plain.confidence
        surer = found if is_found else plain
        assert [given[key] for key in ("number", "confidence", "box")] == [surer.number, surer.confidence, surer.box]
        assert given["image"].startswith("data:image/png;base64,")


def test_the_part_about_a_box_is_cut_from_a_shrunk_photo() -> None:
    pixels = np.zeros((100, 200, 3), np.uint8)
    pixels[40:60, 50:90] = 255
    part = part_of(Photo(pixels, (2.0, 3.0)), Reading("", "1", 1.0, [1.0], (100, 120, 80, 60)))
    assert part.shape == (28, 48, 3)
    assert (part[4:-4, 4:-4] == 255).all()
    assert part.sum() == 255 * 3 * 20 * 40
