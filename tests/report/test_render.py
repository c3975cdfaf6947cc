# SPDX-License-Identifier: Apache-2.0
import html
import re
import shlex
import shutil
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from bigenough.errors import InputError
from bigenough.quantity import unknown
from bigenough.report.files import CandidateFiles, StudyFiles, read_study
from bigenough.report.page import render, write_report
from bigenough.storage import write_json
from bigenough.verdict import Bar, Nominee, decide


class Page(HTMLParser):
    """What a browser would see: tags, attributes, the words outside style."""

    def __init__(self, markup):
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.words, self._within = [], [], [], []
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        self._within.append(tag)

    def handle_endtag(self, tag):
        while self._within and self._within.pop() != tag:
            pass

    def handle_data(self, data):
        if "style" not in self._within:
            self.words.append(data)

    @property
    def text(self):
        return " ".join("".join(self.words).split())


def with_candidates(study, change):
    return replace(study, candidates=tuple(change(one) for one in study.candidates))


@pytest.mark.parametrize("name", ["proved", "the reference", "cannot tell", "not good enough", "bar reached"])
def test_every_answer_renders_as_one_page_that_asks_for_nothing(rendered, name):
    markup = rendered[name]
    page = Page(markup)
    assert markup.startswith("<!doctype html>")
    assert not {"script", "img", "link", "iframe", "object", "embed", "base", "form", "a"} & set(page.tags)
    assert not [
        key for key, _ in page.attributes if key in {"src", "href", "xlink:href", "srcset"} or key.startswith("on")
    ]
    assert not re.search(r"url\((?!#)|@import|@font-face", markup)
    assert ("http-equiv", "Content-Security-Policy") in page.attributes


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "proved",
            "The smaller model is big enough: linear (4.3 MB) does this job as well as frozen (91 MB), within 1.5",
        ),
        ("the reference", "No smaller model here will do: this job needs frozen (91 MB)."),
        ("cannot tell", "Your data cannot tell yet whether a smaller model does this job as well as frozen (91 MB)"),
        ("not good enough", "None of the models that were put to the test reaches the bar of 98.5 % accuracy."),
        (
            "bar reached",
            "The smallest model proved good enough is linear (4.3 MB): it reaches the bar of 80.0 % accuracy.",
        ),
    ],
)
def test_the_verdict_is_said_in_one_sentence(rendered, name, words):
    assert words in Page(rendered[name]).text


def test_the_same_study_gives_the_same_page(study, rendered):
    assert render(study) == rendered["proved"]


def test_the_promise_names_level_margin_and_rows(rendered):
    text = Page(rendered["proved"]).text
    assert "more than 1.5 points worse is crowned in at most 5 % of studies" in text
    assert "α = 0.05, one-sided; 2,400 certify rows, opened once" in text


def test_scores_and_bounds_are_those_of_the_verdict(study, rendered):
    text = Page(rendered["proved"]).text
    compared = study.verdict["comparisons"][0]
    assert f"{100 * compared['score']:.1f} %" in text
    assert f"{100 * compared['lower']:+.2f}".replace("-", "−") in text
    for one in study.candidates:
        assert f"{100 * one.evidence['accuracy']['value']:.1f} %" in text


def test_cannot_tell_says_how_many_rows_are_missing_and_what_is_safe(studies):
    study = studies["cannot tell"]
    text = Page(render(replace(study, next_rows=300))).text
    assert study.verdict["rows_needed"]["sentence"] in text
    assert "Start with the 300 rows in label-next.csv." in text
    assert "Until then, use frozen" in text


PLANTED = "</style><script>alert('x')</script><img src=x onerror=alert(1)> \" ' & \u202e"


def test_planted_markup_stays_text(study):
    def plant(one):
        evidence = dict(one.evidence)
        evidence["confusions"] = [{**c, "gold": PLANTED, "predicted": PLANTED} for c in evidence["confusions"]]
        evidence["per_class"] = [{**c, "label": PLANTED + c["label"]} for c in evidence["per_class"]]
        candidate = {**one.candidate, "summary": PLANTED, "settings": {PLANTED: PLANTED}, "weights": {PLANTED: PLANTED}}
        candidate["files"] = {PLANTED: {"bytes": 1, "sha256": PLANTED}}
        return replace(one, evidence=evidence, candidate=candidate)

    finding = study.audit["findings"][0]
    audit = {
        **study.audit,
        "findings": [{**finding, "message": PLANTED, "advice": PLANTED, "examples": [{"row": 1, "text": PLANTED}]}],
        "classes": [{"label": PLANTED, "fit": 1, "select": 1, "certify": 1}],
        "languages": {PLANTED: 1.0},
    }
    source = {**study.study["source"], "path": PLANTED, "label_column": PLANTED, "decisions": [PLANTED]}
    named = {**study.study, "name": PLANTED, "source": source, "created": PLANTED, "packages": {PLANTED: PLANTED}}
    dangerous = with_candidates(
        replace(study, study=named, audit=audit, texts=dict.fromkeys(study.texts, PLANTED), folder=PLANTED), plant
    )
    markup = render(dangerous)
    page = Page(markup)
    assert "script" not in page.tags
    assert "img" not in page.tags
    assert page.tags.count("style") == 1
    assert not [key for key, _ in page.attributes if key.startswith("on")]
    assert "\u202e" not in markup
    assert "<script>alert('x')</script>" in page.text


def test_a_name_planted_in_a_rung_stays_text_in_the_charts(study):
    evil = "<script>alert(1)</script>"

    def rename(data):
        if isinstance(data, dict):
            return {key: rename(value) for key, value in data.items()}
        if isinstance(data, list):
            return [rename(value) for value in data]
        return evil if data == "linear" else data

    renamed = tuple(
        replace(one, name=rename(one.name), candidate=rename(dict(one.candidate))) for one in study.candidates
    )
    page = Page(render(replace(study, candidates=renamed, verdict=rename(dict(study.verdict)))))
    assert "script" not in page.tags
    assert page.text.count(evil) > 4


def test_long_texts_are_cut(study):
    markup = render(replace(study, texts=dict.fromkeys(study.texts, "word " * 1_000_000)))
    assert len(markup) < 400_000


@pytest.mark.parametrize("points", [0, 1, 4])
def test_of_curves_that_were_not_drawn_nothing_is_said(studies, points):
    """A single point, as of a model that reads no label, is no curve."""

    def flat(one):
        curve = [{"rows": 500 * 2**n, "score": 0.8} for n in range(points)]
        return replace(one, candidate={**one.candidate, "learning_curve": curve})

    text = Page(render(with_candidates(studies["not good enough"], flat))).text
    drawn = points > 1
    assert ("The learning curves have flattened" in text) == drawn
    assert ("With twice the labels" in text) == drawn
    assert ("No learning curve was drawn" in text) != drawn


def test_missing_parts_say_so(study):
    def strip(one):
        bare = {"name": one.name, "rung": one.name, "size_bytes": one.candidate["size_bytes"]}
        return CandidateFiles(one.name, bare)

    bare = replace(with_candidates(study, strip), audit=None, plan=None, texts={}, study={"name": "bare"})
    text = Page(render(bare)).text
    for words in (
        "there is no frontier to draw",
        "No learning curve was drawn",
        "The data were not audited",
        "Determinism was not checked",
        "There are no per-class figures",
        "too few scored rows for a reliability chart",
    ):
        assert words in text
    assert "unknown" in text


def test_a_failed_rung_is_listed_with_its_reason(study):
    reason = "could not be fitted (WeightsNotFound: no folder has the weights)"
    verdict = {**study.verdict, "left_out": [*study.verdict["left_out"], {"candidate": "enormous", "reason": reason}]}
    text = Page(render(replace(study, verdict=verdict))).text
    assert "enormous" in text
    assert reason in text
    assert "could not be fitted" in text


def test_unknown_energy_is_unknown_and_modelled_energy_says_so(study, rendered):
    without = unknown("Wh", "no energy counter").to_json()
    dark = with_candidates(
        study, lambda one: replace(one, candidate={**one.candidate, "energy": {"wh": without, "co2e_g": without}})
    )
    assert 'title="unknown: no energy counter"' in render(dark)
    assert 'class="tag modelled"' in rendered["proved"]


def test_no_nominee_at_all(study):
    verdict = {**study.verdict, "comparisons": [], "winner": "frozen", "safe_choice": "frozen", "deciding": None}
    text = Page(render(replace(study, verdict={**verdict, "smallest_provable_margin": None, "rows_needed": None}))).text
    assert "Use frozen (91 MB): no smaller model could be put to the test." in text
    assert "nothing to test" in text


def test_macro_f1_and_climbing_are_told(study):
    scored = {one.name: one.certify for one in study.candidates}
    nominees = [
        Nominee(name, 10 * place, scored[name].predicted)
        for place, name in enumerate(("static", "linear", "frozen"), 1)
    ]
    found = decide(
        scored["linear"].gold, nominees, Bar(0.88), metric="macro_f1", margin=0.0, mode="up", n_resamples=200
    )
    text = Page(render(replace(study, verdict=found.to_json()))).text
    assert "the bar of 88.0 % macro F1" in text
    assert "a smaller one had passed" in text


def test_classes_too_small_to_prove_are_named(study):
    first = study.study["task"]["classes"][0]

    def shrink(one):
        per_class = [{**c, "n": 7} if c["label"] == first else c for c in one.evidence["per_class"]]
        return replace(one, evidence={**one.evidence, "per_class": per_class})

    text = Page(render(with_candidates(study, shrink))).text
    assert "1 of 12 classes are too small" in text
    assert f"{first} (7)" in text


def test_the_folder_comes_back_as_it_was_written(study, rendered, save, tmp_path):
    save(study, tmp_path)
    read = read_study(tmp_path)
    assert isinstance(read, StudyFiles)
    quoted = {row for one in study.candidates for c in one.evidence["confusions"] for row in c["rows"][:5]}
    assert set(read.texts) == quoted & set(study.texts)
    order = [one.name for one in read.candidates]
    again = replace(
        read, texts=study.texts, folder=study.folder, candidates=tuple(sorted(read.candidates, key=lambda c: c.name))
    )
    assert set(order) == {one.name for one in study.candidates}
    assert Page(render(again)).text == Page(rendered["proved"]).text


def test_of_two_folders_with_one_name_the_judged_one_counts(study, save, tmp_path):
    """Whichever was copied or touched last."""
    save(study, tmp_path)
    home = next((tmp_path / "candidates").glob("linear-*"))
    for name in ("linear-000000000000", "linear-ffffffffffff"):
        shutil.copytree(home, home.parent / name)
    for judged in sorted(home.parent.glob("linear-*")):
        write_json(tmp_path / "judged.json", {"linear": judged.name})
        read = {one.name: one.home for one in read_study(tmp_path).candidates}
        assert read["linear"] == judged.name


def test_the_report_goes_into_the_folder_or_where_asked(study, save, tmp_path):
    save(study, tmp_path / "study")
    assert write_report(tmp_path / "study") == tmp_path / "study" / "report.html"
    assert (
        write_report(tmp_path / "study", tmp_path / "page.html")
        .read_text(encoding="utf-8")
        .startswith("<!doctype html>")
    )


def test_an_unfinished_study_is_refused_with_the_next_step(study, save, tmp_path):
    with pytest.raises(InputError, match=r"no study\.json.*Give the folder"):
        write_report(tmp_path)
    save(study, tmp_path)
    (tmp_path / "verdict.json").unlink()
    with pytest.raises(InputError, match=r"no verdict\.json.*run the same"):
        write_report(tmp_path)


def test_label_next_is_counted_by_rows_not_lines(study, save, tmp_path):
    save(study, tmp_path)
    (tmp_path / "label-next.csv").write_text('row,purpose,reason,text\n1,proof,x,"two\nlines"\n2,proof,x,one\n')
    assert read_study(tmp_path).next_rows == 2


def test_the_study_can_be_made_again_from_its_page(study):
    source = {**study.study["source"], "path": "my tickets.csv"}
    markup = render(replace(study, study={**study.study, "source": source}))
    shown = html.unescape(re.search(r"(bigenough fit.*?)</code>", markup, re.DOTALL)[1])
    words = shlex.split(shown.replace("\\\n", ""))
    assert words[:3] == ["bigenough", "fit", "my tickets.csv"]
    given = dict(zip(words[3::2], words[4::2], strict=True))
    assert given["--label"] == "intent"
    assert given["--margin"] == "1.5"
    assert given["--max-size-mb"] == "200.0"
    assert "--bar" not in given


def elsewhere(study, name):
    """The same study with one candidate behind an endpoint."""
    return with_candidates(
        study,
        lambda one: (
            replace(one, candidate={**one.candidate, "remote": True, "size_bytes": None}) if one.name == name else one
        ),
    )


def test_what_runs_elsewhere_is_said_to_be_packed_nowhere(studies):
    chosen = Page(render(elsewhere(studies["the reference"], "frozen"))).text
    assert "Use frozen at its endpoint; nothing is packed" in chosen
    safe = Page(render(elsewhere(studies["cannot tell"], "frozen"))).text
    assert "it is the safe choice, at its endpoint; nothing is packed" in safe
    for text in (chosen, safe, Page(render(studies["not good enough"])).text):
        assert "bigenough predict" not in text
        assert "ready in specialist/" not in text
    assert "bigenough predict" in Page(render(studies["proved"])).text


def test_an_endpoint_is_not_the_smallest_model_for_having_no_size(study):
    alone = {**study.verdict, "comparisons": [], "winner": "frozen", "safe_choice": "frozen", "deciding": None}
    alone |= {"smallest_provable_margin": None, "rows_needed": None}
    text = Page(render(elsewhere(replace(study, verdict=alone), "frozen"))).text
    assert "no smaller model could be put to the test" in text
    assert "The smallest model is also the best" not in text


def test_where_nothing_was_tested_no_model_is_said_to_have_failed(studies):
    study = studies["not good enough"]
    untested = {**study.verdict, "comparisons": [], "deciding": None, "smallest_provable_margin": None}
    text = Page(render(replace(study, verdict=untested))).text
    assert "No model could be put to the test" in text
    assert "None of the models" not in text


def test_levels_and_margins_are_written_with_the_digits_they_have(study):
    first, *others = study.verdict["comparisons"]
    verdict = {**study.verdict, "alpha": 0.025, "margin": 0.0125, "comparisons": [{**first, "level": 0.0125}, *others]}
    text = Page(render(replace(study, verdict=verdict))).text
    assert "in at most 2.5 % of studies" in text
    assert "with 98.75 % confidence" in text
    assert "a proof needs it above −1.25 points" in text


def test_a_table_in_memory_has_no_path_to_print(study):
    source = {**study.study["source"], "path": "a dict", "in_memory": True}
    text = Page(render(replace(study, study={**study.study, "source": source}))).text
    assert "bigenough fit TABLE" in text
    assert "The table was given as a dict: TABLE stands for a file of it." in text
