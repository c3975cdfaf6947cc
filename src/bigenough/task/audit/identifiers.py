# SPDX-License-Identifier: Apache-2.0
"""Strings that identify a person or open a door: where they stand in a text, and how to hide them.

Only what can be checked is claimed: check digits by python-stdnum (IBAN, payment cards, national numbers), numbering
plans by phonenumberslite, global addresses by ``ipaddress``. Names, birthdays and postal addresses are not looked for.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib import import_module
from typing import NamedTuple

__all__ = ["DEFAULT_REGIONS", "READ_CHARS", "Identifier", "find_identifiers", "mask", "may_hold_phone", "regions_for"]

DEFAULT_REGIONS = ("US", "GB")
READ_CHARS = 20_000
_CONTEXT_CHARS = 40

_EMAIL = re.compile(r"(?<![\w.+%-])[\w.+%-]{1,64}@(?:[\w-]{1,63}\.){1,6}[^\W\d_]{2,24}(?![\w@])")
_SECRET = re.compile(
    r"(?i:[?&#](?:access_|auth_|refresh_|session_)?(?:token|key|secret|sig|signature|password|api_?key)=)(?P<secret>[^\s&#\"'<>]{8,})"
    r"|(?P<known>\b(?:AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36}|xox[bpars]-[A-Za-z0-9-]{10,}|eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,})\b)"
)
_IBAN = re.compile(r"\b[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]{4}){2,7}(?:[ -]?[A-Za-z0-9]{1,3})?\b")
_CARD = re.compile(r"(?<![\d.,-])\d(?:[ -]?\d){12,18}(?![\d-])")
_CARD_BRAND = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}"
    r"|6(?:011|5\d\d)\d{12}|3(?:0[0-5]|[68]\d)\d{11}|35(?:2[89]|[3-8]\d)\d{12}"
)
_IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)")
_IPV6 = re.compile(r"(?<![\w:])(?:[0-9A-Fa-f]{1,4}:){3,7}(?::|[0-9A-Fa-f]{1,4})(?:[0-9A-Fa-f:]*)(?![\w:])")
_VERSION = re.compile(r"(?:\bv|version|release|build|section|chapter)\s*$", re.IGNORECASE)
_PHONE_HINT = re.compile(r"(?:\+|\(?\d)(?:[\s().\-/]{0,3}\d){6}")
_PHONE_WORD = re.compile(
    r"(?i)\b(?:call|phone|tel|telephone|mobile|cell|ring|sms|text|whatsapp|fax|dial|contact|reach|number|telefon|handy|"
    r"appel\w*|t[ée]l[ée]fono|numero|m[óo]vil|celular)\b"
)
_PHONE_SHAPE = re.compile(r"^\s*(?:\+|0|\()|\d[\s().\-/]+\d{2,}[\s().\-/]+\d{2,}")
_REGION_OF = {
    "de": ("DE", "AT", "CH"), "fr": ("FR", "BE", "CA"), "es": ("ES", "MX"), "it": ("IT",), "nl": ("NL", "BE"),
    "pt": ("BR", "PT"), "pl": ("PL",), "sv": ("SE",), "da": ("DK",), "no": ("NO",), "fi": ("FI",), "cs": ("CZ",),
    "tr": ("TR",), "ru": ("RU",), "uk": ("UA",), "ja": ("JP",), "zh": ("CN",), "ko": ("KR",), "hi": ("IN",),
    "el": ("GR",),
}  # fmt: skip


class _National(NamedTuple):
    kind: str
    pattern: re.Pattern[str]
    module: str
    context: re.Pattern[str] | None


def _national(kind: str, pattern: str, module: str, context: str | None = None) -> _National:
    return _National(kind, re.compile(pattern), module, re.compile(context, re.IGNORECASE) if context else None)


# A context is asked for wherever the shape and the check digit alone would take order numbers for persons.
_NATIONAL = (
    _national("US social security number", r"(?<![\d-])\d{3}-\d{2}-\d{4}(?![\d-])", "stdnum.us.ssn"),
    _national("US social security number", r"(?<!\d)\d{9}(?!\d)", "stdnum.us.ssn", r"\bssn\b|social security"),
    _national("UK NHS number", r"(?<!\d)\d{3}[ -]?\d{3}[ -]?\d{4}(?!\d)", "stdnum.gb.nhs", r"\bnhs\b"),
    _national("French NIR", r"(?<!\d)[12] ?\d\d ?[01]\d ?\d[\dAB] ?\d{3} ?\d{3} ?\d\d(?!\d)", "stdnum.fr.nir"),
    _national("German IdNr", r"(?<!\d)\d{2} ?\d{3} ?\d{3} ?\d{3}(?!\d)", "stdnum.de.idnr", r"steuer|\bid-?nr|tax"),
    _national("Dutch BSN", r"(?<!\d)\d{9}(?!\d)", "stdnum.nl.bsn", r"\bbsn\b|burgerservice"),
    _national("Italian codice fiscale", r"(?i)\b[A-Z]{6}\d\d[A-Z]\d\d[A-Z]\d{3}[A-Z]\b", "stdnum.it.codicefiscale"),
    _national("Spanish DNI", r"\b\d{8}-?[A-Za-z]\b", "stdnum.es.dni", r"\bdni\b|\bnif\b"),
    _national("Spanish NIE", r"\b[XYZxyz]-?\d{7}-?[A-Za-z]\b", "stdnum.es.nie"),
    _national("Brazilian CPF", r"(?<!\d)\d{3}\.\d{3}\.\d{3}-\d{2}(?!\d)", "stdnum.br.cpf"),
    _national("Indian Aadhaar number", r"(?<!\d)\d{4} ?\d{4} ?\d{4}(?!\d)", "stdnum.in_.aadhaar", r"aadha+r|\buid\b"),
)  # fmt: skip


class Identifier(NamedTuple):
    """One find: its kind and its place in the text."""

    kind: str
    start: int
    end: int


def regions_for(languages: Sequence[str]) -> tuple[str, ...]:
    """The regions whose national phone formats are tried for texts in these languages.

    >>> regions_for(["de"])
    ('US', 'GB', 'DE', 'AT', 'CH')
    """
    found = [*DEFAULT_REGIONS, *(region for language in languages for region in _REGION_OF.get(language, ()))]
    return tuple(dict.fromkeys(found))


def may_hold_phone(text: str) -> bool:
    """A quick look: whether the text has seven digits close together."""
    return _PHONE_HINT.search(text, 0, READ_CHARS) is not None


def find_identifiers(text: str, *, regions: Sequence[str] = DEFAULT_REGIONS, phones: bool = True) -> list[Identifier]:
    """What identifies a person in the first 20,000 characters, in order of place; no two overlap.

    Args:
        text: any text.
        regions: whose national phone formats to try beside the international one.
        phones: whether to look for phone numbers, by far the slowest part.

    >>> [found.kind for found in find_identifiers("Write to ann@example.org or ring +44 20 7946 0958")]
    ['e-mail address', 'phone number']
    """
    text = text[:READ_CHARS]
    finders: list[Callable[[str], Iterator[Identifier]]] = []
    if "@" in text:
        finders.append(_emails)
    if "=" in text or "_" in text or "eyJ" in text or "AKIA" in text or "xox" in text:
        finders.append(_secrets)
    if any(map(text.__contains__, "0123456789")):
        finders += [_ibans, _cards, _nationals, _addresses]
        if phones and may_hold_phone(text):
            finders.append(lambda text: _phones(text, regions))
    taken: list[Identifier] = []
    for finder in finders:  # the surest first: a card number is not also a phone number
        for new in finder(text):
            if all(new.end <= old.start or old.end <= new.start for old in taken):
                taken.append(new)
    return sorted(taken, key=lambda found: found.start)


def mask(text: str, found: Sequence[Identifier]) -> str:
    """The text with each find reduced to its first and last character.

    >>> text = "I am ann@example.org."
    >>> mask(text, find_identifiers(text))
    'I am a•••g.'
    """
    for each in sorted(found, key=lambda item: -item.start):
        value = text[each.start : each.end]
        text = f"{text[: each.start]}{value[0]}•••{value[-1]}{text[each.end :]}"
    return text


def _emails(text: str) -> Iterator[Identifier]:
    for match in _EMAIL.finditer(text):
        yield Identifier("e-mail address", match.start(), match.end())


def _secrets(text: str) -> Iterator[Identifier]:
    for match in _SECRET.finditer(text):
        group = "secret" if match["secret"] else "known"
        yield Identifier("key or token", match.start(group), match.end(group))


def _ibans(text: str) -> Iterator[Identifier]:
    for match in _IBAN.finditer(text):
        end = match.end()
        while end - match.start() >= 15:  # words after the number look like more of it
            if _check("stdnum.iban", text[match.start() : end]):
                yield Identifier("IBAN", match.start(), end)
                break
            cut = max(text.rfind(" ", match.start(), end), text.rfind("-", match.start(), end))
            end = cut if cut > match.start() else match.start()


def _cards(text: str) -> Iterator[Identifier]:
    for match in _CARD.finditer(text):
        digits = re.sub(r"\D", "", match.group())
        if _CARD_BRAND.fullmatch(digits) and len(set(digits)) > 1 and _check("stdnum.luhn", digits):
            yield Identifier("payment card number", match.start(), match.end())


def _nationals(text: str) -> Iterator[Identifier]:
    for national in _NATIONAL:
        for match in national.pattern.finditer(text):
            around = text[max(0, match.start() - _CONTEXT_CHARS) : match.end() + _CONTEXT_CHARS]
            if national.context is not None and not national.context.search(around):
                continue
            if _check(national.module, match.group()):
                yield Identifier(national.kind, match.start(), match.end())


def _addresses(text: str) -> Iterator[Identifier]:
    for pattern in (_IPV4, _IPV6):
        for match in pattern.finditer(text):
            try:
                address = ipaddress.ip_address(match.group())
            except ValueError:
                continue
            if address.is_global and not _VERSION.search(text[max(0, match.start() - 12) : match.start()]):
                yield Identifier("IP address", match.start(), match.end())


def _phones(text: str, regions: Sequence[str]) -> Iterator[Identifier]:
    from phonenumbers import Leniency, PhoneNumberMatcher

    for region in (None, *regions):
        if region is None and "+" not in text:
            continue
        for match in PhoneNumberMatcher(text, region, leniency=Leniency.VALID, max_tries=50):
            # Any ten digits can be a valid US number: without a typical shape, a word like "call" must lead to it.
            before = text[max(0, match.start - _CONTEXT_CHARS) : match.start]
            if _PHONE_SHAPE.search(match.raw_string) or _PHONE_WORD.search(before):
                yield Identifier("phone number", match.start, match.end)


@cache
def _checker(module: str) -> Callable[[str], bool]:
    is_valid: Callable[[str], bool] = import_module(module).is_valid
    return is_valid


def _check(module: str, value: str) -> bool:
    return _checker(module)(value)
