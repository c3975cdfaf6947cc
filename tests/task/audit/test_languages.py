# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from bigenough.task import Examples
from bigenough.task.audit import languages
from bigenough.task.audit.languages import UNDETERMINED, detect_languages, find_languages

GERMAN = [
    "Guten Tag, meine Bestellung ist noch immer nicht angekommen, können Sie bitte nachsehen?",
    "Ich habe mein Passwort vergessen und kann mich seit gestern nicht mehr anmelden.",
    "Die Rechnung vom letzten Monat ist zu hoch, bitte erstatten Sie mir den Betrag.",
    "Der Motor macht seit der letzten Reparatur ein sehr lautes Geräusch.",
    "Warum wurde mir der gleiche Betrag zweimal von meinem Konto abgebucht?",
    "Das Paket wurde beim Nachbarn abgegeben, aber er weiß nichts davon.",
]


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("the network was asked")

    monkeypatch.setattr("socket.socket.connect", refuse)


@pytest.mark.usefixtures("no_network")
def test_texts_in_another_language_are_found_at_their_rows(desk):
    rows = [desk.plant(text) for text in GERMAN]
    found = desk.find_one("languages")
    assert set(found.rows) == set(rows)
    assert "de " in found.message


def test_short_texts_are_undetermined():
    assert detect_languages(["Hallo", "ok", "", "123456789012345678901234567890"]) == [UNDETERMINED] * 4


def test_a_newline_and_a_lone_surrogate_do_no_harm():
    text = "Where is my parcel?\nI ordered it\x00 two weeks ago \ud800 and nobody answers."
    assert detect_languages([text]) == ["en"]


def test_a_language_that_is_seldom_sure_is_not_claimed(desk):
    # Igbo is not among the languages of the model, which takes it for Vietnamese or Croatian, mostly with a low score.
    igbo = [
        "Ọ bụrụ na nna m dị ndụ, agaghị m eme ihe nkiri",
        "Anyị anọrọla n'ime ụlọ ruo izuụka atọ maka ọrịa",
        "Akụkọ ndị kachasị mkpa mere taa n'ụtụtụ a",
        "Ndị otu Kraịst na-egbu ntụ n'ihe iji chetere onwe ha",
        "Gọọmentị steeti ga-enyocha ndị ji ya ụgwọ ego",
        "Kedu ihe mere ndị mmadụ ji ata ahụhụ na obodo anyị",
    ]
    examples = Examples(igbo * 3, np.zeros(18, np.int64), np.arange(1, 19))
    mix = find_languages(examples, seed=0)
    assert mix.shares == {UNDETERMINED: 1.0}
    assert [found.kind for found in mix.findings] == ["languages_undetermined"]


def test_a_sample_is_declared_and_repeatable(desk, monkeypatch):
    monkeypatch.setattr(languages, "SAMPLE_ROWS", 100)
    first, again = find_languages(desk.examples, seed=1), find_languages(desk.examples, seed=1)
    assert first == again
    assert "a sample of 100 of 800 rows" in first.decisions[0]


def test_no_rows_have_no_language():
    assert find_languages(Examples([], np.zeros(0, np.int64), np.zeros(0, np.int64)), seed=0).shares == {}
