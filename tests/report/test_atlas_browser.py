# SPDX-License-Identifier: Apache-2.0
"""The atlas' pages as a browser shows them: they fit the window and ask for nothing."""

import json

import pytest
from report import test_browser as shared

from bigenough.atlas.facts import models
from bigenough.atlas.plan import Serving, serving_plan
from bigenough.atlas.subject import hardware, subject
from bigenough.atlas.users import Load
from bigenough.atlas.whereabouts import Standing
from bigenough.report.bill_page import bill_page
from bigenough.report.landscape_page import landscape_page
from bigenough.report.plan_page import plan_page
from bigenough.report.whereabouts_page import whereabouts_page

browser = shared.browser
pytestmark = shared.pytestmark


def _plan(name, load=None):
    return serving_plan(subject(name), hardware("a100-80gb"), Serving(load=load))


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("atlas-pages")
    made = {}
    for name, page in (
        ("landscape", landscape_page(models())),
        ("bill", bill_page()),
        ("where", whereabouts_page(Standing(1200, 16.0))),
        ("plan", plan_page([_plan("llama-3.1-70b", Load(200))])),
        ("plans", plan_page([_plan("gpt-3"), _plan("llama-3.1-8b")])),
    ):
        made[name] = folder / f"{name}.html"
        made[name].write_text(page, encoding="utf-8")
    return made


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", ["landscape", "bill", "where", "plan", "plans"])
def test_a_page_fits_the_window_and_asks_for_nothing(browser, pages, name, width, theme):
    shared.show(browser, pages[name], width, theme)
    scrolled, inner = browser.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")
    assert scrolled <= inner
    cut = browser.execute_script(
        "return [...document.querySelectorAll('td, td *')].filter(one => one.scrollWidth > one.clientWidth + 1"
        " && getComputedStyle(one).display != 'inline').map(one => one.textContent.trim().slice(0, 60))"
    )
    assert cut == []
    asked = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = {one["params"]["request"]["url"] for one in asked if one["method"] == "Network.requestWillBeSent"}
    assert urls <= {pages[name].as_uri()}
    assert not browser.get_log("browser")
