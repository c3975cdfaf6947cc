# SPDX-License-Identifier: Apache-2.0
import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigenough.task import Examples
from bigenough.task.audit import personal_data
from bigenough.task.audit.identifiers import find_identifiers, mask
from bigenough.task.audit.personal_data import find_personal_data

PLANTED = [
    ("e-mail address", "Answer to anna.müller+shop@mail.example.co.uk, thanks", "anna.müller+shop@mail.example.co.uk"),
    ("phone number", "ring me at +44 20 7946 0958 tonight", "+44 20 7946 0958"),
    ("phone number", "my cell is (415) 555-2671", "(415) 555-2671"),
    ("phone number", "call 08000930705 now", "08000930705"),
    ("phone number", "please call 4155552671", "4155552671"),
    ("IBAN", "refund to DE89 3704 0044 0532 0130 00 please", "DE89 3704 0044 0532 0130 00"),
    ("IBAN", "account gb82west12345698765432.", "gb82west12345698765432"),
    ("payment card number", "charged on 4111 1111 1111 1111 twice", "4111 1111 1111 1111"),
    ("payment card number", "card 378282246310005", "378282246310005"),
    ("IP address", "blocked from 81.2.69.142 since Monday", "81.2.69.142"),
    ("IP address", "host 2001:4860:4860::8888 is down", "2001:4860:4860::8888"),
    ("key or token", "https://x.example/a?id=1&access_token=abcDEF123456xyz", "abcDEF123456xyz"),
    ("US social security number", "it is 536-90-4399", "536-90-4399"),
    ("US social security number", "my SSN: 536904399", "536904399"),
    ("UK NHS number", "NHS no 943 476 5870", "943 476 5870"),
    ("French NIR", "numéro 2 95 05 19 578 462 66 svp", None),
    ("Italian codice fiscale", "CF RCCMNL83S18D969H", "RCCMNL83S18D969H"),
    ("Brazilian CPF", "CPF 390.533.447-05", "390.533.447-05"),
    ("Dutch BSN", "mijn BSN is 111222333", "111222333"),
]  # fmt: skip

HARMLESS = [
    "order 2125551234 has not arrived",  # ten digits, but nothing says that they are a telephone
    "card ending 4111 1111 1111 1112",  # wrong check digit
    "DE89 3704 0044 0532 0130 01",  # wrong check digits
    "upgrade to version 10.2.30.4 now",
    "printer at 192.168.1.20",  # private
    "thanks @user, see you at 5@home",
    "from 2019-10-12 to 2021-01-30, 1,250,000.00 in total",
    "reference 111222333 and 9434765870",  # valid check digits without the word that makes them a person's
    "0000 0000 0000 0000",
    "is it https://shop.example/?page=2&sort=price",
    "the score was 21-12-2021 in the end",
]


@pytest.mark.parametrize(("kind", "text", "value"), [each for each in PLANTED if each[2]])
def test_each_kind_is_found_where_it_stands(kind, text, value):
    found = [each for each in find_identifiers(text) if text[each.start : each.end] == value]
    assert [each.kind for each in found] == [kind]


@pytest.mark.parametrize("text", HARMLESS)
def test_harmless_numbers_are_left_alone(text):
    assert find_identifiers(text) == []


def test_french_number_with_its_check_digits():
    from stdnum.fr import nir

    text = (
        "numéro 295051957846266 svp"
        if nir.is_valid("295051957846266")
        else f"numéro 2950519578462{nir.calc_check_digits('2950519578462')} svp"
    )
    assert [each.kind for each in find_identifiers(text)] == ["French NIR"]


def test_planted_rows_are_found_and_counted_by_kind(desk):
    rows = [desk.plant(f"Mail ann{i}@example.org or bob{i}@example.org about the parcel number {i}") for i in range(3)]
    phone = desk.plant("Please ring +44 20 7946 0958 about my parcel")
    emails, phones = desk.find("personal_data")
    assert (emails.rows, emails.count) == (tuple(rows), 3)
    assert emails.message.startswith("E-mail address: 6 likely finds in 3 rows")
    assert phones.rows == (phone,)


@pytest.mark.parametrize(("text", "value"), [(text, value) for _, text, value in PLANTED if value])
def test_values_are_never_printed(text, value):
    long = "word " * 40 + text + " and more" * 40
    examples = Examples([long], np.zeros(1, np.int64), np.ones(1, np.int64))
    printed = json.dumps([each.to_json() for each in find_personal_data(examples).findings], ensure_ascii=False)
    assert "•••" in printed
    assert value not in printed


def test_national_phone_formats_follow_the_language():
    text = "Rufen Sie mich an: Telefon 030 901820"
    assert find_identifiers(text) == []
    examples = Examples([text], np.zeros(1, np.int64), np.ones(1, np.int64))
    (found,) = find_personal_data(examples, languages=["de"]).findings
    assert found.message.startswith("Phone number: 1")


def test_sampled_phone_search_says_so(monkeypatch):
    monkeypatch.setattr(personal_data, "MAX_PHONE_ROWS", 5)
    texts = [f"ring +44 20 7946 09{i:02d}" for i in range(20)]
    result = find_personal_data(Examples(texts, np.zeros(20, np.int64), np.arange(1, 21)))
    assert [each.count for each in result.findings] == [5]
    assert "a sample of 5 of the 20 rows" in result.decisions[0]


def test_only_the_beginning_of_a_very_long_text_is_searched_and_that_is_said():
    text = "Mail ann@example.org. " + "word " * 5_000 + "Mail bob@example.org."
    result = find_personal_data(Examples([text], np.zeros(1, np.int64), np.ones(1, np.int64)))
    assert "1 likely find in 1 row" in result.findings[0].message
    assert result.decisions == ["Personal data: of 1 text only the first 20,000 characters were searched."]


@given(st.text(), st.sampled_from([text for _, text, _ in PLANTED]), st.text())
def test_masking_leaves_the_rest_and_nothing_to_find_twice(before, planted, after):
    text = f"{before} {planted} {after}"
    found = find_identifiers(text)
    assert all(one.end <= two.start for one, two in pairwise(found))
    hidden = mask(text, found)
    assert hidden.startswith(text[: found[0].start] if found else text)


@given(st.text(alphabet="0123456789 -.+()@:abc=?&_", max_size=120))
def test_any_text_can_be_searched(text):
    for each in find_identifiers(text):
        assert 0 <= each.start < each.end <= len(text)
