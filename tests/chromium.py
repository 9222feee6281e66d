"""A headless browser for tests of pages, where there is one."""

import shutil
import time
from pathlib import Path

import pytest
from selenium import webdriver

FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
)


def started(profile: Path) -> webdriver.Chrome:
    """Chromium with an empty profile, which logs its console and its requests. Skips the test where there is none."""
    binary, driver = (shutil.which(name) for name in ("chromium", "chromedriver"))
    if binary is None or driver is None:
        pytest.skip("neither downloaded nor found in PATH: chromium and chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    browser.get("about:blank")
    for _ in range(50):  # what its first tab asks for comes late on a busy machine, and is no request of a test's page
        time.sleep(0.2)
        if not browser.get_log("performance"):
            break
    return browser
