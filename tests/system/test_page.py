"""The chat page: upstream's own, built with npm, shown by `FILE serve` and answering in a real browser."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from tests.system.conftest import LAUNCHER, RECIPES, run_lfbuild
from tests.system.test_smollm2 import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from selenium.webdriver.remote.webdriver import WebDriver

pytestmark = pytest.mark.full


@pytest.fixture
def smollm2_with_page(tmp_path: Path) -> Path:
    """`recipes/smollm2.toml` with `ui = true`."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    recipe = tmp_path / "page.toml"
    text = (RECIPES / "smollm2.toml").read_text(encoding="utf-8")
    recipe.write_text(text.replace("[toolchain]", "ui = true\n\n[toolchain]"), encoding="utf-8")
    run_lfbuild("build", recipe, "-o", "page.llamafile", *LAUNCHER, cwd=tmp_path)
    return tmp_path / "page.llamafile"


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[WebDriver]:
    """Debian's Chromium, without a window."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("chromium and chromedriver are not installed")
    if importlib.util.find_spec("selenium") is None:
        pytest.skip("the package selenium is not installed")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for word in (
        *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"),
        *("--disable-background-networking", "--disable-component-update", f"--user-data-dir={tmp_path / 'profile'}"),
    ):
        options.add_argument(word)
    service = webdriver.ChromeService(executable_path=driver, log_output=subprocess.DEVNULL)
    with webdriver.Chrome(options=options, service=service) as browser:
        yield browser


def wait_for(browser: WebDriver, text: str) -> None:
    """Until the page shows the text; else what it shows is told."""
    from selenium.common.exceptions import TimeoutException
    from selenium.webdriver.support.ui import WebDriverWait

    with contextlib.suppress(TimeoutException):
        WebDriverWait(browser, 90).until(lambda page: text in shown(page))
    assert text in shown(browser)


def shown(browser: WebDriver) -> str:
    return browser.find_element("tag name", "body").text


def test_the_chat_page_loads_and_answers_in_a_browser(
    smollm2_with_page: Path, browser: WebDriver, tmp_path: Path
) -> None:
    from selenium.webdriver.common.keys import Keys

    with serving(smollm2_with_page, "--temp", "0") as (address, _):
        browser.get(address)
        # Before it has heard from the server which model there is, the page takes no question.
        wait_for(browser, "SmolLM2")
        browser.find_element("tag name", "textarea").send_keys("Which city is the capital of France?", Keys.ENTER)
        wait_for(browser, "Paris")
        browser.save_screenshot(str(tmp_path / "page.png"))
