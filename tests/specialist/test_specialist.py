# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import subprocess
import sys
import threading

import numpy as np
import pandas as pd
import polars as pl
import pytest

import bigenough
from bigenough.errors import InputError, TamperedArtefact
from bigenough.specialist import load
from bigenough.specialist.specialist import seal


def test_predictions_are_the_judged_ones(packed, judged):
    specialist = load(packed)
    labels = [specialist.classes[code] for code in judged.predicted]
    assert specialist.predict(judged.texts) == labels
    np.testing.assert_array_equal(specialist.predict_proba(judged.texts), judged.probability)
    assert specialist.about["scores"]["accuracy"]["value"] == 0.912
    assert "tickets" in repr(specialist)


def test_the_study_folder_will_do_as_well_and_so_will_the_packages_own_name(packed):
    assert load(packed.parent).folder == packed
    assert bigenough.load(str(packed)).predict(["where is my refund"]) == load(packed).predict(["where is my refund"])


@pytest.mark.parametrize("wrap", [tuple, np.array, pd.Series, pl.Series, iter, list])
def test_any_list_of_texts_is_taken(packed, wrap):
    texts = ["my card was stolen", "", "transfer abroad"]
    np.testing.assert_array_equal(load(packed).predict_proba(wrap(texts)), load(packed).predict_proba(texts))


def test_no_texts_give_no_labels(packed):
    specialist = load(packed)
    assert specialist.predict([]) == []
    assert specialist.predict_proba([]).shape == (0, 3)


@pytest.mark.parametrize("missing", [None, float("nan"), 3, b"bytes", ["nested"], pd.NA])
def test_what_is_no_text_is_named_by_its_position(packed, missing):
    with pytest.raises(InputError, match="Entry 1 "):
        load(packed).predict(["a", missing, "b"])


def test_a_single_text_and_a_table_are_refused_with_the_next_step(packed):
    specialist = load(packed)
    with pytest.raises(InputError, match=r"write \['my card'\]"):
        specialist.predict("my card")
    with pytest.raises(InputError, match="select its column"):
        specialist.predict_proba(pd.DataFrame({"message": ["a"]}))


def test_the_self_check_passes_here_and_notices_another_answer(packed):
    specialist = load(packed)
    check = specialist.self_check()
    assert check.passed
    assert check.rows >= 8 + 3
    canary = json.loads((packed / "canary.json").read_text())
    canary["probability"][0] = canary["probability"][0][::-1]
    (packed / "canary.json").write_text(json.dumps(canary))
    assert not specialist.self_check().passed


def test_several_threads_may_ask(packed, judged):
    specialist = load(packed)
    answers: dict[int, np.ndarray] = {}

    def ask(n: int) -> None:
        answers[n] = specialist.predict_proba(judged.texts[n::4])

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for n in range(4):
        np.testing.assert_array_equal(answers[n], judged.probability[n::4])


def every_file(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_any_changed_byte_of_any_file_is_noticed(packed):
    assert len(every_file(packed)) == 6
    for path in every_file(packed):
        whole = path.read_bytes()
        for place in np.unique(np.linspace(0, len(whole) - 1, 25).astype(int)):
            changed = bytearray(whole)
            changed[place] ^= 0x20
            path.write_bytes(changed)
            with pytest.raises((TamperedArtefact, InputError)):
                load(packed)
        for tampered in (whole + b"\n", whole[:-1], b""):
            path.write_bytes(tampered)
            with pytest.raises(TamperedArtefact):
                load(packed)
        path.write_bytes(whole)
    load(packed)


def test_any_missing_file_is_noticed(packed):
    for path in every_file(packed):
        whole = path.read_bytes()
        path.unlink()
        with pytest.raises((TamperedArtefact, InputError)):
            load(packed.parent / "specialist")
        path.write_bytes(whole)
    load(packed)


def test_a_file_slipped_into_the_models_folder_is_noticed(packed):
    (packed / "model" / "extra.json").write_text("{}")
    with pytest.raises(TamperedArtefact, match=r"model/extra\.json"):
        load(packed)


@pytest.mark.parametrize(
    "name", ["../outside.txt", "/etc/hostname", "model/../../outside.txt", "model\\..\\outside.txt"]
)
def test_paths_that_lead_out_of_the_folder_are_refused_even_when_sealed(packed, name):
    (packed.parent / "outside.txt").write_text("x")
    about = json.loads((packed / "specialist.json").read_text())
    about["files"][name] = {"bytes": 1, "sha256": "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"}
    reseal(packed, about)
    with pytest.raises(TamperedArtefact, match="no path within"):
        load(packed)


def test_a_link_that_leads_out_of_the_folder_is_refused(packed):
    weights = next((packed / "model").glob("*.safetensors"))
    weights.rename(packed.parent / "elsewhere")
    weights.symlink_to(packed.parent / "elsewhere")
    with pytest.raises(TamperedArtefact, match="outside the folder"):
        load(packed)


def reseal(folder, about):
    data = json.dumps(about).encode()
    (folder / "specialist.json").write_bytes(data)
    (folder / "specialist.json.sha256").write_text(seal(data))


@pytest.mark.parametrize(("files", "message"), [({}, "does not list"), ("all but the card", r"README\.md")])
def test_a_list_of_files_that_leaves_some_out_is_refused(packed, files, message):
    about = json.loads((packed / "specialist.json").read_text())
    about["files"] = files if files == {} else {k: v for k, v in about["files"].items() if k != "README.md"}
    reseal(packed, about)
    with pytest.raises(TamperedArtefact, match=message):
        load(packed)


def test_another_form_of_the_folder_names_the_version_to_install(packed):
    about = json.loads((packed / "specialist.json").read_text()) | {"format": 2, "bigenough": "9.9"}
    reseal(packed, about)
    with pytest.raises(InputError, match=r"form 2.*9\.9"):
        load(packed)


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", "{", '"x"', '{"format": 1}', "[" * 200_000])
def test_a_description_that_is_none_is_called_damaged(packed, text):
    (packed / "specialist.json").write_text(text)
    with pytest.raises(TamperedArtefact, match="damaged"):
        load(packed)


def test_a_swapped_class_list_is_noticed_even_without_verifying(packed):
    about = json.loads((packed / "specialist.json").read_text())
    about["classes"].append("more")
    reseal(packed, about)
    with pytest.raises(TamperedArtefact, match="3 classes apart"):
        load(packed, verify=False)


def test_without_verifying_a_changed_card_does_not_matter(packed):
    (packed / "README.md").write_text("changed")
    load(packed, verify=False)


def test_a_folder_that_would_ask_a_model_elsewhere_is_refused(packed, judged):
    class Elsewhere:
        remote, n_classes, n_parameters, asked = True, 3, None, 0

        def predict_proba(self, texts):
            self.asked += 1
            raise AssertionError("it was asked")

    there = Elsewhere()
    with pytest.raises(InputError, match="would ask a model elsewhere"):
        load(packed, loader=lambda folder, *, threads: there)
    assert not there.asked


def test_where_there_is_no_specialist_the_reason_is_told(tmp_path):
    with pytest.raises(InputError, match="There is no"):
        load(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"holds no specialist\.json"):
        load(tmp_path)
    (tmp_path / "study.json").write_text("{}")
    with pytest.raises(InputError, match=r"verdict\.json"):
        load(tmp_path)


def test_loading_and_asking_import_nothing_that_only_training_needs(packed):
    heavy = (
        "sklearn",
        "optuna",
        "polars",
        "pandas",
        "onnx",
        "torch",
        "transformers",
        "codecarbon",
        "altair",
        "pickle5",
    )
    code = f"""
import sys, bigenough
answer = bigenough.load({str(packed)!r}).predict(["my card was stolen"])
print([name for name in {heavy} if name in sys.modules], answer)
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[] ['card | lost']"
