"""The chat page: upstream's own, built with npm, shown by `FILE serve` and answering in a real browser."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from tests.system.conftest import LAUNCHER, RECIPES, run_lfbuild
from tests.system.test_smollm2 import serving

if TYPE_CHECKING:
    from pathlib import Path

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


def test_the_chat_page_loads_and_answers_in_a_browser(smollm2_with_page: Path, tmp_path: Path) -> None:
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("chromium and chromedriver are not installed")
    if importlib.util.find_spec("selenium") is None:
        pytest.skip("the package selenium is not installed")
    from selenium import webdriver
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import WebDriverWait

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for word in (
        *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"),
        *("--disable-background-networking", "--disable-component-update", f"--user-data-dir={tmp_path / 'profile'}"),
    ):
        options.add_argument(word)
    service = webdriver.ChromeService(executable_path=driver, log_output=subprocess.DEVNULL)
    with serving(smollm2_with_page) as (address, _), webdriver.Chrome(options=options, service=service) as browser:
        browser.get(address)
        wait = WebDriverWait(browser, 90)
        box = wait.until(lambda page: page.find_element(By.TAG_NAME, "textarea"))
        box.send_keys("Which city is the capital of France?", Keys.ENTER)
        wait.until(lambda page: "Paris" in page.find_element(By.TAG_NAME, "body").text)
        browser.save_screenshot(str(tmp_path / "page.png"))
