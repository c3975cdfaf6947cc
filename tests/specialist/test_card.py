# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from dataclasses import replace

import pytest
from huggingface_hub import ModelCard

from bigenough.quantity import Quantity
from bigenough.specialist.card import model_card


def card_of(judgement):
    return model_card(json.loads(json.dumps(judgement.to_json())))


def test_the_hub_reads_the_head(packed):
    data = ModelCard.load(packed / "README.md").data
    assert (data.library_name, data.pipeline_tag, data.license) == ("bigenough", "text-classification", "unknown")
    assert data.language == ["en"]
    assert data.base_model is None
    assert {(result.metric_type, result.metric_value) for result in data.eval_results} == {
        ("accuracy", 0.912), ("f1", 0.901), ("log_loss", 0.31),
    }  # fmt: skip
    assert data.eval_results[0].metric_name == "accuracy [0.9, 0.923], measured"
    assert data.eval_results[0].dataset_name == "tickets.csv"


def test_pre_trained_weights_bring_their_name_and_licence(judgement):
    weights = {"name": "org/encoder", "licence": "Apache-2.0", "source": "package", "sha256": "00ff"}
    card = ModelCard(card_of(replace(judgement, weights=weights)))
    assert (card.data.base_model, card.data.license) == ("org/encoder", "apache-2.0")
    assert "00ff" in card.text
    odd = ModelCard(card_of(replace(judgement, weights=weights | {"licence": "Gemma Terms: of use"})))
    assert (odd.data.license, odd.data.license_name) == ("other", "Gemma Terms: of use")


def test_labels_that_a_generalist_gave_are_named(judgement):
    assert "generalist" not in card_of(judgement)
    told = card_of(replace(judgement, labelled={"by_generalist": 1140, "by_people": 60}))
    assert "Of these 1,140 have the label of a generalist, 60 that of people; every label of certify" in told


def test_rows_in_a_prompt_are_owned_to(judgement):
    about = json.loads(json.dumps(judgement.to_json()))
    assert "The table itself is not part of this folder" in model_card({**about, "rows_inside": 0})
    told = model_card({**about, "rows_inside": 8})
    assert "8 rows of the table stand in `model/predictor.json`, word for word" in told
    assert "The table itself is not part" not in told


@pytest.mark.parametrize(
    "section",
    ["Intended use", "How it was judged", "Where it is weak", "Training data", "Size, speed and energy", "Limitations"],
)
def test_the_sections_a_stranger_needs_are_there(judgement, section):
    assert f"## {section}\n" in card_of(judgement)


def test_the_verdict_the_limits_of_proof_and_the_unseen_class_are_told(judgement):
    card = card_of(judgement)
    assert f"> {judgement.sentence}" in card
    assert "Nothing is proved about 'transfer'" in card
    assert "without a row in certify: `transfer`" in card
    assert "size_mb at most 5" in card
    assert "91.2 % [90.0, 92.3]" in card
    assert "200 rows in 1 other ways (restart)" in card
    assert "by at most 1.5e-08" in card


def test_every_quantity_stands_beside_its_provenance(judgement):
    card = card_of(judgement)
    energy = (Quantity.from_json(value) for value in judgement.energy.values())
    quantities = [*judgement.scores.values(), *energy, Quantity.from_json(judgement.performance["latency_p50_ms"])]
    for quantity in quantities:
        lines = [line for line in card.splitlines() if line.startswith("|") and quantity.source in line]
        assert lines, quantity
        assert all(f"{quantity.provenance}: {quantity.source}" in line for line in lines)


def test_what_is_unknown_says_so(judgement):
    nothing = Quantity(None, "MB", "unknown", "this system does not tell")
    card = card_of(replace(judgement, performance={"memory_mb": nothing.to_json()}, machine={}))
    assert "| unknown | unknown: this system does not tell |" in card
    assert "Machine: unknown." in card


def test_a_users_words_cannot_break_the_page(judgement):
    name = "evil | `x` <script>alert(1)</script>\n# heading\n---\x85\u2028\x00: \ud800 ü क्\u200dष"
    task = replace(judgement.task, name=name)
    card = card_of(replace(judgement, task=task, sentence="line\n---\n<b>bold</b>", source=name))
    assert "<script>" not in card.split("---\n", 2)[2]
    assert "\n# heading" not in card
    assert ModelCard(card).data.eval_results[0].dataset_name == (
        "evil | `x` <script>alert(1)</script> # heading --- : ü क्\u200dष"
    )
    row = next(line for line in card.splitlines() if line.startswith("| card"))
    assert row.startswith("| card \\| lost | 9 |")


def test_what_it_was_made_of_is_told_step_by_step(judgement):
    lineage = [
        {"candidate": "tuned", "summary": "an encoder", "settings": {}},
        {
            "candidate": "tuned-vocabulary",
            "summary": "fewer words",
            "settings": {"share": 0.1},
            "note": "for fit alone",
        },
    ]
    card = card_of(replace(judgement, lineage=lineage))
    assert "It was made step by step: `tuned`, an encoder; of that `tuned-vocabulary`, fewer words." in card
    assert "- Of tuned-vocabulary: for fit alone." in card
    assert "step by step" not in card_of(replace(judgement, lineage=lineage[:1]))
