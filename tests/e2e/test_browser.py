"""The first five minutes of a new user: `faurya-gateway dev`, a real browser, and every click of the demo."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.support.wait import WebDriverWait

WAIT_SECONDS = 20
COMMAND = [sys.executable, "-c", "from gateway.cli import main; main()", "dev", "--port", "0"]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1200,900",
)

BROWSER = next((path for path in map(shutil.which, BROWSERS) if path), None)
DRIVER = shutil.which("chromedriver")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        BROWSER is None or DRIVER is None,
        reason=f"needs a browser ({', '.join(BROWSERS)}) and chromedriver on the PATH",
    ),
]


@pytest.fixture(scope="module", name="addresses")
def _addresses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A running demo: the addresses that its banner names, by name."""
    folder = tmp_path_factory.mktemp("demo")
    with (folder / "log").open("w+") as log:
        process = subprocess.Popen(
            COMMAND, cwd=folder, env={"PATH": os.environ["PATH"]}, stdout=subprocess.PIPE, stderr=log, text=True
        )
        try:
            yield _banner(process, log.name)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=WAIT_SECONDS)
            assert process.returncode == 0, Path(log.name).read_text()
        finally:
            process.kill()
            process.communicate()


def _banner(process: "subprocess.Popen[str]", log: str) -> dict[str, str]:
    assert process.stdout is not None
    found = {}
    for line in process.stdout:
        named = re.match(r"\s+(\w[\w ]*\w)\s+(http://127\.0\.0\.1:\d+)", line)
        if named:
            found[named[1]] = named[2]
        if "Ctrl-C" in line:
            return found
    raise AssertionError(Path(log).read_text())


@pytest.fixture(name="browser")
def _browser(tmp_path: Path) -> Iterator[WebDriver]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(BROWSER)
    for flag in (*FLAGS, f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(flag)
    browser = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        yield browser
    finally:
        browser.quit()


class Person:
    """Somebody at the browser, who waits until what is to be clicked is there."""

    def __init__(self, browser: WebDriver) -> None:
        self.browser = browser

    def until(self, there: Callable[[WebDriver], object], what: str) -> None:
        # a page may reload between finding a thing and reading it; it is then looked for again
        WebDriverWait(self.browser, WAIT_SECONDS, poll_frequency=0.1, ignored_exceptions=[WebDriverException]).until(
            there, f"{what} at {self.browser.current_url}"
        )

    def click(self, name: str) -> None:
        """Click the thing with this id and wait until another page is there."""
        before = self.browser.find_element(By.TAG_NAME, "html").id

        def clicked(browser: WebDriver) -> bool:
            browser.find_element(By.ID, name).click()
            return True

        self.until(clicked, f"{name} to click")
        self.until(lambda browser: browser.find_element(By.TAG_NAME, "html").id != before, f"a page after {name}")

    def sees(self, text: str) -> None:
        self.until(lambda browser: text in browser.find_element(By.TAG_NAME, "main").text, repr(text))

    def read(self, name: str) -> str:
        self.until(lambda browser: browser.find_element(By.ID, name).text, name)
        return self.browser.find_element(By.ID, name).text

    def buys(self, shop: str) -> None:
        self.browser.get(shop)
        self.click("buy")
        self.click("pay")
        self.click("back")


def test_a_sale_is_bought_paid_recorded_and_refunded_with_its_visitor(
    browser: WebDriver, addresses: dict[str, str]
) -> None:
    person = Person(browser)
    browser.get(addresses["Shop acme"])
    visitor = person.read("visitor")
    person.click("buy")
    person.sees("Total")
    person.click("decline")
    person.sees("declined")
    person.click("pay")
    person.click("back")
    person.sees("Recorded in Faurya")
    person.sees(visitor)
    thanks = browser.current_url
    person.click("trace")
    assert person.read("verdict").lower() == "attributed"
    person.sees("transaction.completed")
    browser.get(addresses["Faurya"])
    person.sees(visitor)
    person.sees("65.00 USD")
    browser.get(thanks)
    person.click("checkout")
    person.click("refund")
    browser.get(addresses["Faurya"])
    person.sees("-65.00 USD")


def test_a_sale_without_the_script_is_shown_to_belong_to_nobody(browser: WebDriver, addresses: dict[str, str]) -> None:
    person = Person(browser)
    shop = addresses["Shop globex"]
    browser.get(shop)
    person.click("without")
    person.sees("will belong to nobody")
    person.buys(shop)
    person.sees("Booked, not sent to Faurya")
    person.click("trace")
    assert person.read("verdict").lower() == "unattributed"


def test_a_checkout_that_the_gateway_refuses_is_explained_on_the_page(
    browser: WebDriver, addresses: dict[str, str]
) -> None:
    person = Person(browser)
    browser.get(addresses["Shop acme"])
    browser.execute_script("document.getElementById('buy').dataset.plan = 'gold'")
    browser.find_element(By.ID, "buy").click()
    assert "no plan named 'gold'" in person.read("problem")
    assert browser.find_element(By.ID, "buy").is_enabled()
