# SPDX-License-Identifier: Apache-2.0
import json
from types import SimpleNamespace

import numpy as np
import pytest

from bigenough.quantity import Quantity
from bigenough.task import Examples
from bigenough.task.audit import OutOfFold, audit


def test_clean_data_gives_no_finding(desk):
    result = desk.audit()
    assert result.findings == ()
    assert result.languages["en"] > 0.9
    assert result.contradiction_ceiling.value == 1.0
    assert result.noise_ceiling.value > 0.99


def test_json_has_the_published_shape_and_is_plain(desk):
    desk.plant("")
    result = desk.audit(decisions=["every fourth row certifies"])
    data = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert data["splits"] == {"fit": 401, "select": 200, "certify": 200, "decisions": ["every fourth row certifies"]}
    assert data["classes"][0] == {"label": "billing", "fit": 101, "select": 50, "certify": 50}
    assert set(data["length"]) == {"median_chars", "p95_chars", "max_chars"}
    (empty,) = data["findings"]
    assert set(empty) == {"kind", "severity", "count", "rows", "message", "advice", "examples"}
    assert (empty["kind"], empty["count"], empty["rows"]) == ("empty_texts", 1, [801])
    assert empty["examples"] == [{"row": 801, "text": ""}]
    assert Quantity.from_json(data["noise_ceiling"]).provenance == "modelled"
    assert sum(data["languages"].values()) == pytest.approx(1)


def test_findings_come_gravest_first(desk):
    twin = desk.texts[desk.rows("fit")[0] - 1]
    for _ in range(3):
        desk.plant(twin, "billing", "certify")
    desk.plant("x" * 5000, "billing")
    order = [each.severity for each in desk.audit().findings]
    assert order == sorted(order, key=["problem", "warning", "info"].index)
    assert order[0] == "problem"
    assert order[-1] == "info"


def test_same_input_and_seed_give_the_same_audit(desk):
    assert desk.audit(seed=3).to_json() == desk.audit(seed=3).to_json()


def test_excerpts_of_any_finding_hide_personal_data(desk):
    text = "Write to jane.doe@example.org about the parcel that never came to our door"
    desk.plant(text, "delivery")
    desk.plant(text, "delivery", "certify")
    assert "leak_exact" in {each.kind for each in desk.audit().findings}
    assert "jane.doe" not in json.dumps(desk.audit().to_json())


def test_one_row_numbers_follow_the_users_table(desk):
    examples, splits = desk.examples, desk.split()
    texts = list(examples.texts)
    texts[10] = ""
    moved = Examples(texts, examples.labels, examples.rows * 7 + 3)
    (found,) = audit(moved, desk.classes, splits).findings
    assert found.rows == (11 * 7 + 3,)


def test_out_of_fold_predictions_of_certify_are_refused(desk):
    n = len(desk.texts)
    opened = OutOfFold(np.arange(n), np.full((n, 4), 0.25))
    with pytest.raises(ValueError, match="certify stays closed"):
        desk.audit(guessed=opened)


def test_a_handful_of_rows_is_audited_and_says_what_was_not_looked_for(desk):
    desk.texts, desk.labels, desk.part = desk.texts[:24], desk.labels[:24], desk.part[:24]
    result = desk.audit()
    assert result.noise_ceiling is None
    assert any("Label errors were not looked for" in decision for decision in result.decisions)
    assert {each.kind for each in result.findings} <= {"small_classes", "thin_classes"}


def test_nothing_at_all_is_audited_without_complaint():
    none = np.zeros(0, np.int64)
    result = audit(Examples([], none, none), ["yes", "no"], SimpleNamespace(fit=none, select=none, certify=none))
    assert result.findings == ()
    assert result.noise_ceiling is None


def test_progress_is_told_from_start_to_end(desk):
    said = []
    desk.audit(say=lambda what, done: said.append((what, done)))
    assert [what for i, (what, _) in enumerate(said) if i == 0 or said[i - 1][0] != what] == [
        "comparing texts",
        "telling languages",
        "looking for personal data",
        "doubting labels",
    ]
    assert all(done is None or 0 <= done <= 1 for _, done in said)
