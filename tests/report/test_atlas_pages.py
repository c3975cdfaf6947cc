# SPDX-License-Identifier: Apache-2.0
"""The atlas' pages: self-contained, escaped, and true to the facts they show."""

import re

import pytest

from bigenough.atlas.facts import model, models
from bigenough.atlas.landscape import choose
from bigenough.atlas.tiers import borders_of
from bigenough.atlas.whereabouts import Standing
from bigenough.errors import BadOption
from bigenough.report.bill_page import bill_page
from bigenough.report.frame import Section, framed
from bigenough.report.landscape_page import landscape_page
from bigenough.report.plan_page import plan_page
from bigenough.report.whereabouts_page import whereabouts_page


def a_plan():
    from bigenough.atlas.plan import Line, Plan
    from bigenough.atlas.plan import Section as Part
    from bigenough.quantity.range import between, exact

    held = (exact(8e9, "param", "parameters", "a card") * exact(16, "bit/param", "bits", "bf16")).named(
        "weights", "N × bits", "sum", unit="GB"
    )
    speed = between(20, 60, "token/s", "decode", "a formula", mid=40, provenance="modelled")
    memory = Part("Memory", (Line("weights", held), Line("fits", "yes", "tight")))
    return Plan("A <model> on a box", (memory, Part("Speed", (Line("decode", speed),))), ("One sequence.",))


@pytest.fixture(scope="module")
def pages():
    return {
        "landscape": landscape_page(models()),
        "bill": bill_page(),
        "where": whereabouts_page(Standing(1200, 16.0, unlabelled=5000)),
        "plan": plan_page([a_plan()]),
        "plans": plan_page([a_plan(), a_plan()]),
    }


@pytest.mark.parametrize("name", ["landscape", "bill", "where", "plan", "plans"])
def test_a_page_is_whole_and_asks_for_nothing(pages, name):
    page = pages[name]
    assert page.startswith("<!doctype html>")
    assert "default-src 'none'" in page.replace("&#x27;", "'")
    without_names = page.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert not re.search(r"(?:src|href)=|url\((?!#)|<script", without_names)
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert re.search(r"<h1>[^<]{10,}", page)


def test_the_landscape_shows_every_model_both_tiers_and_protocols(pages):
    page = pages["landscape"]
    assert all(row.name.replace("&", "&amp;") in page for row in models())
    for said in ("17.89", "27.5", "51.21", "63.24", "Set apart: DLRM-12T", "20 months", "mega from 50B"):
        assert said in page


def test_the_landscape_follows_the_borders_given():
    page = landscape_page(models(), borders_of("500m,5b,30b"))
    assert "mega from 30B" in page
    assert "borders of the tiers, adjusted" in page
    assert "mega from 50B" not in page


def test_a_landscape_of_few_models_still_says_what_it_can():
    page = landscape_page(choose(models(), country="israel"))
    assert "One model" in page
    assert "Jurassic-1 Jumbo" in page
    assert "No size is published" in landscape_page([model("GPT-4")])
    with pytest.raises(BadOption, match="no landscape to draw"):
        landscape_page([])


@pytest.mark.parametrize("size", [2.7e9, 27e9])
def test_models_of_one_size_have_an_axis_too(size):
    some = [one for one in models() if one.total_params and abs(one.total_params / size - 1) < 0.03]
    assert some
    assert "parameters" in landscape_page(some)


def test_the_bill_shows_the_claims_beside_what_follows(pages):
    page = pages["bill"]
    for said in (
        "227 GB",
        "10.3 bits/param",
        "349.2 GB",
        "88 times less",
        "Equivalents",
        "9.66 times",
        "arXiv:2104.10350",
    ):
        assert said in page


def test_the_map_marks_the_route_of_the_reader(pages):
    page = pages["where"]
    assert "few labels, small machine (you)" in page
    assert page.count('class="subject"') == 1
    assert ">you</text>" in page
    assert "1,200 labelled texts of about 60 tokens, and 16 GB" in page


def test_a_plan_shows_ranges_words_and_derivations(pages):
    page = pages["plan"]
    assert "A &lt;model&gt; on a box" in page
    for said in ("16 GB", "20 to 60", "N × bits", "Derived line by line", "One sequence."):
        assert said in page
    with pytest.raises(BadOption, match="no plan to show"):
        plan_page([])


def test_what_a_plan_is_called_cannot_break_the_page():
    page = framed("<b>kind</b>", "</title><script>", "gist & more", [Section("a", "<i>", ["<u>"])])
    assert "<script" not in page
    assert "&lt;i&gt;" in page
