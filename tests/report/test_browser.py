# SPDX-License-Identifier: Apache-2.0
"""The page as a browser shows it: headless Chromium at window and phone width, light and dark."""

import json
import shutil

import pytest

NAMES = ("proved", "the reference", "cannot tell", "not good enough", "bar reached")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")

pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs Chromium and chromedriver")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (
        "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", f"--user-data-dir={tmp_path_factory.mktemp('profile')}",
    ):  # fmt: skip
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def pages(rendered, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    made = {}
    for name in NAMES:
        made[name] = folder / f"{name.replace(' ', '-')}.html"
        made[name].write_text(rendered[name], encoding="utf-8")
    return made


def show(browser, page, width, theme):
    media = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    window = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", window)
    browser.get_log("performance")
    browser.get_log("browser")
    browser.get(page.as_uri())


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 820, 390])
@pytest.mark.parametrize("name", NAMES)
def test_page_fits_the_window_and_asks_for_nothing(browser, pages, name, width, theme):
    show(browser, pages[name], width, theme)
    scrolled = browser.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")
    assert scrolled[0] <= scrolled[1]
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    assert asked == [pages[name].as_uri()]
    assert browser.get_log("browser") == []


@pytest.mark.parametrize("name", NAMES)
def test_the_answer_is_on_the_first_screen_of_a_phone(browser, pages, name):
    show(browser, pages[name], 390, "light")
    box = browser.execute_script("return document.querySelector('h1').getBoundingClientRect().toJSON()")
    assert box["width"] > 200
    assert 0 < box["top"] < box["bottom"] < 900


@pytest.mark.parametrize(("width", "shown"), [(1280, "wide"), (390, "narrow")])
def test_each_chart_is_shown_once_with_type_that_can_be_read(browser, pages, width, shown):
    show(browser, pages["proved"], width, "light")
    seen = browser.execute_script(
        "return [...document.querySelectorAll('svg.chart')].filter(s => s.getBoundingClientRect().width > 0)"
        ".map(s => [s.classList.contains(arguments[0]), s.getAttribute('aria-label'),"
        " Math.min(...[...s.querySelectorAll('text')].map(t => parseFloat(getComputedStyle(t).fontSize)))"
        " * s.getBoundingClientRect().width / s.viewBox.baseVal.width])",
        shown,
    )
    assert len(seen) == 5
    for right_one, described, pixels in seen:
        assert right_one
        assert described
        assert pixels >= 10.5


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_stands_out_from_its_ground(browser, pages, theme):
    show(browser, pages["proved"], 1280, theme)
    colours = browser.execute_script(
        "const of = (s, k) => getComputedStyle(document.querySelector(s))[k];"
        "return [of('body', 'backgroundColor'), of('h1', 'color'), of('.gist', 'color'), of('.answer', 'color'),"
        " of('summary', 'color'), of('svg.chart text', 'fill')]"
    )
    ground, *texts = [[int(part) for part in colour[4:-1].split(",")] for colour in colours]
    for text in texts:
        assert _contrast(text, ground) >= 4.5  # WCAG 2.2, level AA


def _contrast(one, other):
    def light(colour):
        parts = [part / 255 for part in colour]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((light(one), light(other)))
    return (high + 0.05) / (low + 0.05)
