"""The demo's page in a real browser, as a visitor handles it."""

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from PIL import Image


class Visit:
    """A browser, and the page at an address in it."""

    def __init__(self, address: str, browser: str, chromedriver: str) -> None:
        from selenium import webdriver

        options = webdriver.ChromeOptions()
        options.binary_location = browser
        for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options, webdriver.ChromeService(chromedriver))
        self.address = address

    def load(self, width: int, scheme: str) -> None:
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 500},
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        self.driver.get(self.address)

    def element(self, selector: str) -> Any:
        return self.driver.find_element("css selector", selector)

    def answer_to(self, act: Callable[[], object]) -> str:
        """What the page says after `act`, in one line."""
        self.driver.execute_script("document.getElementById('said').textContent = ''")
        act()
        return self.wait(lambda: self.element("#said").text).replace("\n", " ")

    def wait(self, look: Callable[[], Any]) -> Any:
        from selenium.webdriver.support.wait import WebDriverWait

        return WebDriverWait(self.driver, 120, 0.05).until(lambda _: look())

    def choose(self, file: Path) -> str:
        return self.answer_to(lambda: self.element("#file").send_keys(str(file)))

    def choose_run(self, name: str) -> str:
        (option,) = [each for each in self.driver.find_elements("css selector", "option") if name in each.text]
        return self.answer_to(option.click)

    def hand_in(self, event: str, file: Path) -> str:
        """Pastes or drops a file, as far as a script can."""
        script = """const [event, content] = arguments, data = new DataTransfer();
            data.items.add(new File([Uint8Array.from(atob(content), (c) => c.charCodeAt(0))], "some.png"));
            document.dispatchEvent(event === "paste" ? new ClipboardEvent(event, {clipboardData: data})
                                                     : new DragEvent(event, {dataTransfer: data}));"""
        content = base64.b64encode(file.read_bytes()).decode()
        return self.answer_to(lambda: self.driver.execute_script(script, event, content))

    def draw(self, points: list[tuple[int, int]]) -> str:
        from selenium.webdriver.common.action_chains import ActionChains

        canvas = self.element("#canvas")
        self.driver.execute_script("arguments[0].scrollIntoView()", canvas)
        pen = ActionChains(self.driver, duration=10).move_to_element_with_offset(canvas, *points[0]).click_and_hold()
        for place in points[1:]:
            pen.move_to_element_with_offset(canvas, *place)
        return self.answer_to(pen.release().perform)

    def pixels(self, name: str) -> np.ndarray:
        content = self.element(f"#{name}").get_attribute("src").removeprefix("data:image/png;base64,")
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))

    def percents(self) -> list[float]:
        rows = self.driver.find_elements("css selector", "#bars li")
        return [float(row.text.split()[1]) for row in rows]

    def wider_than(self, width: int) -> list[str]:
        """The elements that reach beyond that width."""
        script = """return [...document.querySelectorAll("*")].filter(
            (each) => each.getBoundingClientRect().right > arguments[0] + 0.5).map((each) => each.outerHTML);"""
        return self.driver.execute_script(script, width)

    def requests(self) -> list[str]:
        """The addresses that the page has asked for."""
        entries = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        urls = [each["params"]["request"]["url"] for each in entries if each["method"] == "Network.requestWillBeSent"]
        return [url for url in urls if urlsplit(url).scheme not in ("data", "blob")]
