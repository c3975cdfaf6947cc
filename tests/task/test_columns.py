# SPDX-License-Identifier: Apache-2.0
import random

import pytest

from bigenough.errors import ColumnNotFound
from bigenough.task.columns import find_column, guess_columns, guess_text
from bigenough.task.reading import read_table

SAID = "card lost order late refund please help account parcel where broken never again great awful my the a is"
WORDS = SAID.split()
N = 200


def prose(seed, n_words=9):
    draw = random.Random(seed)
    return [" ".join(draw.choices(WORDS, k=n_words)) + f" {i}" for i in range(N)]


def kinds(*values, seed=0):
    draw = random.Random(seed)
    return [draw.choice(values) for _ in range(N)]


NUMBERS = [str(i * 7 + 100) for i in range(N)]
FRACTIONS = [str(random.Random(i).random()) for i in range(N)]
DAYS = [f"2024-0{1 + i % 9}-{10 + i % 18}" for i in range(N)]
LINKS = [f"https://example.org/a/{i}" for i in range(N)]
PEOPLE = kinds("Ann Lee", "Bo Berg", "Cy Day")

TABLES = {
    "text,label": ({"text": prose(1), "label": kinds("a", "b")}, "text", "label"),
    "label first, coded": ({"label": kinds("0", "1", "2"), "text": prose(1)}, "text", "label"),
    "sst": ({"sentence": prose(1), "label": kinds("0", "1"), "idx": NUMBERS}, "sentence", "label"),
    "movie reviews": ({"review": prose(1, 40), "sentiment": kinds("positive", "negative")}, "review", "sentiment"),
    "intents": ({"id": NUMBERS, "utterance": prose(1), "intent": kinds(*WORDS)}, "utterance", "intent"),
    "news": (
        {
            "category": kinds("SPORT", "ARTS", "WORLD"),
            "headline": prose(1),
            "authors": PEOPLE,
            "link": LINKS,
            "date": DAYS,
        },
        "headline",
        "category",
    ),
    "titled articles": (
        {"Class Index": kinds("1", "2", "3", "4"), "Title": prose(1, 5), "Description": prose(2, 30)},
        "Description",
        "Class Index",
    ),
    "airline tweets": (
        {
            "tweet_id": NUMBERS,
            "airline_sentiment": kinds("neutral", "positive", "negative"),
            "airline_sentiment_confidence": FRACTIONS,
            "airline": kinds("Delta", "United"),
            "name": PEOPLE,
            "text": prose(1),
            "tweet_created": DAYS,
        },
        "text",
        "airline_sentiment",
    ),
    "complaints": (
        {
            "Date received": DAYS,
            "Product": kinds("Mortgage", "Card"),
            "Consumer complaint narrative": prose(1, 30),
            "State": kinds("CA", "TX", "NY"),
            "Complaint ID": NUMBERS,
        },
        "Consumer complaint narrative",
        "Product",
    ),
    "annotated tweets": (
        {
            "": NUMBERS,
            "count": kinds("3", "6"),
            "neither": kinds("0", "1"),
            "class": kinds("0", "1"),
            "tweet": prose(1),
        },
        "tweet",
        "class",
    ),
    "spam without names": ({"v1": kinds("ham", "spam"), "v2": prose(1)}, "v2", "v1"),
    "code and name of the label": (
        {"text": prose(1), "label": kinds("0", "1"), "label_text": kinds("no", "yes"), "lang": kinds("en", "de")},
        "text",
        "label",
    ),
    "stars": ({"review_id": NUMBERS, "stars": kinds("1", "2", "5"), "review_body": prose(1)}, "review_body", "stars"),
    "other language": (
        {"anfrage": prose(1), "abteilung": kinds("Vertrieb", "Technik"), "datum": DAYS},
        "anfrage",
        "abteilung",
    ),
}


@pytest.mark.parametrize("name", TABLES)
def test_typical_tables_are_guessed(name):
    columns, text, label = TABLES[name]
    found = guess_columns(read_table(columns))
    assert (found.text, found.label) == (text, label)
    assert f"text: {text!r} (mean " in found.sentence
    assert f"label: {label!r} (" in found.sentence


def test_a_named_column_is_kept_and_the_other_guessed():
    table = read_table(TABLES["airline tweets"][0])
    found = guess_columns(table, label="airline")
    assert (found.text, found.label) == ("text", "airline")
    assert guess_columns(read_table(TABLES["news"][0]), text="authors").text == "authors"


def test_runners_up_are_named():
    table = read_table({"text": prose(1), "topic": kinds("a", "b"), "sentiment": kinds("x", "y")})
    found = guess_columns(table)
    assert found.label == "sentiment"
    assert "'topic' could be the label too" in found.sentence


def test_what_cannot_be_told_is_refused():
    with pytest.raises(ColumnNotFound, match=r"cannot be guessed: 'kind', 'sort' could each be it\. Name it"):
        guess_columns(read_table({"text": prose(1), "kind": kinds("a", "b"), "sort": kinds("x", "y")}))
    with pytest.raises(ColumnNotFound, match=r"text column of .* cannot be guessed.*'a', 'b'"):
        guess_columns(read_table({"a": NUMBERS, "b": kinds("1", "2")}))
    with pytest.raises(ColumnNotFound, match=r"label column of .* cannot be guessed"):
        guess_columns(read_table({"text": prose(1), "id": NUMBERS}))


def test_a_wrong_name_lists_the_columns_and_the_nearest():
    table = read_table(TABLES["intents"][0])
    with pytest.raises(
        ColumnNotFound, match=r"no column 'Intents' for the label\. Did you mean 'intent'\?.*'utterance'"
    ):
        guess_columns(table, label="Intents")
    with pytest.raises(ColumnNotFound, match="named for the text and for the label"):
        guess_columns(table, text="intent", label="intent")


def test_doubled_names_hurt_only_when_they_are_meant(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,note,note,label\n" + "".join(f"{text},x,y,{i % 2}\n" for i, text in enumerate(prose(1))))
    table = read_table(path)
    assert guess_columns(table).label == "label"
    with pytest.raises(ColumnNotFound, match=r"several columns called 'note'.*'note', 'note#2'"):
        find_column(table, "note", "label")


@pytest.mark.parametrize("role", ["text", "label"])
def test_a_guess_that_falls_on_a_doubled_name_is_refused_for_that_name(tmp_path, role):
    header = {"text": "text,text,title,label", "label": "text,label,label,queue"}[role]
    cells = {"text": "{0},{0} again,a title,{1}", "label": "{0},{1},{1},{1}"}[role]
    lines = [cells.format(text.replace(",", " "), "ab"[i % 2]) for i, text in enumerate(prose(1))]
    path = tmp_path / "a.csv"
    path.write_text("\n".join([header, *lines]) + "\n")
    with pytest.raises(ColumnNotFound, match=f"several columns called '{role}', so the {role} column .*'{role}#2'"):
        guess_columns(read_table(path))


def test_the_text_of_a_table_without_labels():
    assert guess_text(read_table({"nr": NUMBERS, "anfrage": prose(1)})) == "anfrage"
    assert guess_text(read_table({"x": ["yes", "no"]})) == "x"
