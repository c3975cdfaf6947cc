# SPDX-License-Identifier: Apache-2.0
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from bigenough.report.markup import element, join, raw, shorten, table


class _Reader(HTMLParser):
    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.tags, self.words, self.attributes = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.words.append(data)


def _read(markup):
    reader = _Reader()
    reader.feed(markup)
    reader.close()
    return reader


PLAIN = st.text(st.characters(exclude_categories=("Cc", "Cs", "Cf"), exclude_characters="\ufffe\uffff"))


@given(PLAIN)
def test_any_text_comes_back_as_text(text):
    read = _read(element("p", text, title=text))
    assert read.tags == ["p"]
    assert "".join(read.words) == text
    assert dict(read.attributes)["title"] == text


@given(st.text())
def test_no_text_opens_an_element(text):
    assert _read(element("p", text, join([text, text]), title=text)).tags == ["p"]


def test_built_markup_is_not_escaped_twice():
    assert element("p", element("b", "1 < 2"), " & ", raw("<i>x</i>")) == "<p><b>1 &lt; 2</b> &amp; <i>x</i></p>"


def test_direction_marks_and_control_characters_are_shown_as_replaced():
    assert element("p", "a\u202eb\x00c") == "<p>a\ufffdb\ufffdc</p>"


def test_a_missing_attribute_is_left_away():
    assert element("td", "x", title=None, class_="a") == '<td class="a">x</td>'


def test_shorten_says_that_it_cut():
    assert shorten("one two three", 8) == "one two…"
    assert shorten("one\n two", 8) == "one two"
    assert len(shorten("x" * 10_000_000, 160)) == 160
    assert shorten(" " * 10_000 + "end", 160).endswith("…")


def test_table_cells_carry_their_columns_names():
    built = table("Sizes", ["Rung", "p95 <ms>"], [["linear", "0.4"]])
    read = _read(built)
    assert ("data-label", "p95 <ms>") in read.attributes
    assert ("scope", "row") in read.attributes
    assert "Sizes" in read.words
