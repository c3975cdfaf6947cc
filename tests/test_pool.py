# SPDX-License-Identifier: Apache-2.0
"""Which unlabelled texts may teach: none that a model is chosen or judged by, nor their groups, nor rows as late."""

import polars as pl
import pytest

import bigenough
from bigenough.job import read_job
from bigenough.options import Options
from bigenough.pool import lessons
from bigenough.storage import read_json
from bigenough.task.reading import read_table

ROWS = pl.DataFrame(
    {
        "text": [f"the card number {i} is {'lost' if i % 2 else 'found'}" for i in range(400)],
        "label": ["lost" if i % 2 else "found" for i in range(400)],
        "customer": [f"customer {i % 40}" for i in range(400)],
        "day": [f"2026-{1 + i // 40:02d}-{1 + i % 28:02d}" for i in range(400)],
    }
)


def job_of(**columns):
    return read_job(ROWS, None, Options(text="text", label="label", **columns), "cards")


def told(pool, job):
    return lessons(read_table(pool), job)


def test_texts_of_select_and_certify_teach_nobody():
    job = job_of()
    own = [job.certify.texts[0], f"  {job.select.texts[0].upper()} ", "something else", job.fit.texts[0]]
    found = told(pl.DataFrame({"text": own}), job)
    assert found.texts == ("something else", job.fit.texts[0])
    assert found.decisions == ("2 of 4 unlabelled texts stand in select or certify too, and teach nobody.",)
    assert lessons(None, job).texts == ()


@pytest.mark.parametrize("one", [True, False])
def test_empty_texts_teach_nobody_and_copies_once(one):
    """An empty text of a held group is empty before it is anything else."""
    job = job_of()
    more = [] if one else [" ", "NULL", "the  BLUE card", "blue Card"]
    texts = ["", "a blue card", job.certify.texts[0], "A  blue CARD", "blue card", *more]
    found = told(pl.DataFrame({"text": texts, "id": range(len(texts))}), job)
    assert found.texts == ("a blue card", "blue card", *([] if one else ["the  BLUE card"]))
    assert found.decisions == (
        (
            "1 of 5 unlabelled texts is empty, and teaches nobody.",
            "1 of 5 unlabelled texts stands in select or certify too, and teaches nobody.",
            "1 of 5 unlabelled texts repeats an earlier one: each teaches once.",
        )
        if one
        else (
            "3 of 9 unlabelled texts are empty, and teach nobody.",
            "1 of 9 unlabelled texts stands in select or certify too, and teaches nobody.",
            "2 of 9 unlabelled texts repeat an earlier one: each teaches once.",
        )
    )


def test_an_earlier_copy_that_teaches_nobody_does_not_stand_for_a_later_one():
    job = job_of(group="customer")
    held = job.read.group_names[job.examples.groups[job.splits.certify[0]]]
    found = told(pl.DataFrame({"text": ["a text", "A text", None], "customer": [held, None, held]}), job)
    assert found.texts == ("A text",)
    assert [said.split(" unlabelled texts ")[1] for said in found.decisions] == [
        "is empty, and teaches nobody.",
        "is of groups ('customer') of select or certify, and teaches nobody.",
    ]


def test_groups_of_select_and_certify_teach_nobody():
    job = job_of(group="customer")
    names, groups = job.read.group_names, job.examples.groups
    seen, chosen, judged = (names[groups[part[0]]] for part in (job.splits.fit, job.splits.select, job.splits.certify))
    pool = pl.DataFrame(
        {
            "text": [f"text {i}" for i in range(5)],
            "customer": [seen, chosen, judged, "customer of nobody", None],
        }
    )
    found = told(pool, job)
    assert found.texts == ("text 0", "text 3", "text 4")
    assert found.decisions == (
        "2 of 5 unlabelled texts are of groups ('customer') of select or certify, and teach nobody.",
    )


@pytest.mark.parametrize("kind", [float, str, "{}.0".format, " {}".format])
def test_groups_are_the_same_however_a_table_writes_their_numbers(kind):
    """pandas makes a column of whole numbers with a gap one of floats."""
    rows = ROWS.with_columns(customer=pl.Series([i % 40 for i in range(400)]))
    job = read_job(rows, None, Options(text="text", label="label", group="customer"), "cards")
    held = {rows["customer"][int(row) - 1] for row in job.certify.rows}
    pool = pl.DataFrame({"text": [f"text {i}" for i in held], "customer": [kind(i) for i in held]})
    found = told(pool.vstack(pl.DataFrame({"text": ["without"], "customer": [None]}, schema=pool.schema)), job)
    assert found.texts == ("without",)


def test_other_groups_may_teach_and_that_is_said():
    found = told(pl.DataFrame({"text": ["a", "b"], "customer": ["x", "y"]}), job_of(group="customer"))
    assert found.texts == ("a", "b")
    assert found.decisions == (
        "The unlabelled texts have no 'customer' that a labelled row has: all count as other groups.",
    )


def test_rows_as_late_as_certify_teach_nobody():
    job = job_of(time="day")
    first = ROWS["day"][int(job.examples.rows[job.splits.certify].min()) - 1]
    days = ["2025-12-31", first, "2027-01-01", None]
    found = told(pl.DataFrame({"text": [f"text {i}" for i in range(4)], "day": days}), job)
    assert found.texts == ("text 0", "text 3")
    assert found.decisions == ("2 of 4 unlabelled texts are as late ('day') as certify's rows, and teach nobody.",)
    for days, why in ((["soon", "later"], "no date"), ([None, " "], "empty"), (["03/04/2026", "05/06/2026"], "month")):
        found = told(pl.DataFrame({"text": ["a", "b"], "day": days}), job)
        assert found.texts == ("a", "b")
        assert "have no times" in found.decisions[0]
        assert why in found.decisions[0]
        assert "is not known" in found.decisions[0]


def test_what_cannot_be_told_apart_is_said(tmp_path):
    pool = pl.DataFrame({"text": [f"an unlabelled text {i}" for i in range(30)]})
    found = told(pool, job_of(group="customer"))
    assert len(found.texts) == 30
    assert "have no column 'customer'" in found.decisions[0]
    study = bigenough.fit(
        ROWS, out=tmp_path / "study", group="customer", unlabelled=pool, rungs=("majority", "linear"), trials=1,
        shrink="none", offline=True, threads=1,
    )  # fmt: skip
    assert found.decisions[0] in read_json(study.path / "audit.json")["splits"]["decisions"]
    assert "have no column" in (study.path / "report.html").read_text(encoding="utf-8")


def test_other_texts_before_the_plan_are_told_of_as_those_that_were_used(tmp_path, monkeypatch):
    options = {"out": tmp_path / "study", "rungs": ("majority", "linear"), "trials": 1, "shrink": "none"}
    pools = [pl.DataFrame({"text": [*ROWS["text"].head(n).to_list(), "another text"]}) for n in (40, 400)]

    def stopped(race, rungs):
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr("bigenough.race.Race.race", stopped)
        with pytest.raises(KeyboardInterrupt):
            bigenough.fit(ROWS, unlabelled=pools[0], **options)
    study = bigenough.fit(ROWS, unlabelled=pools[1], **options)
    (said,) = [each for each in read_json(study.path / "audit.json")["splits"]["decisions"] if "unlabelled" in each]
    assert " of 401 unlabelled texts stand in select or certify too" in said
