# SPDX-License-Identifier: Apache-2.0
"""From a file's bytes to lines of text, whatever wrote them.

A byte-order mark decides; else valid UTF-8 is UTF-8. In any other file each line is judged by itself: a line that is
valid UTF-8 is read as such, the others in the one legacy encoding that suits them together. This is safe for every
encoding offered here, because in all of them the bytes of a line break, comma, quote and tab stand for nothing else.
"""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bigenough.errors import UnreadableTable

__all__ = ["Text", "decode"]

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_BINARY = {
    b"PK\x03\x04": "a zip archive or an Excel workbook",
    b"\xd0\xcf\x11\xe0": "an old Excel or Word file",
    b"%PDF": "a PDF",
    b"\x89PNG": "an image",
    b"SQLite format 3": "an SQLite database",
    b"FEA1": "a Feather version 1 file",
    b"\x28\xb5\x2f\xfd": "a zstd archive",
    b"\xfd7zXZ": "an xz archive",
    b"BZh": "a bzip2 archive",
}
_LATIN = ("cp1252", "cp1250", "cp1257", "cp1254")
_OTHER = (
    "cp1251", "koi8_r", "cp866", "cp1253", "cp1255", "cp1256", "cp874", "gb18030", "cp932", "euc_jp", "cp949", "big5",
)  # fmt: skip
_CONTROLS = bytes([*range(9), *range(14, 27), *range(28, 32)])
_SAMPLE_BYTES = 200_000
_ODD_LETTERS = re.compile(r"(?<=[^\W\d_])[¹³¿¶±¼¾Ÿ£¥¢®¯ªº\ufffd](?=[^\W\d_])|(?<=[a-zß-ÿ])[A-ZÀ-ÞŠŒŽ](?=[a-zß-ÿ])")
"""Signs and capitals in the middle of words: what Polish looks like when read as Western."""


@dataclass(frozen=True, eq=False)
class Text:
    """A file's text, read line by line as often as needed.

    Attributes:
        data: the bytes.
        encoding: of the lines that are not listed in ``legacy_lines``.
        legacy: the encoding of the lines in ``legacy_lines``.
        legacy_lines: numbers (from 1) of the lines that are not valid UTF-8 while others are.
    """

    data: bytes
    encoding: str
    legacy: str | None = None
    legacy_lines: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    def lines(self) -> Iterator[str]:
        """The lines with their ends, as they stand in the file."""
        if self.legacy is None:
            yield from io.TextIOWrapper(io.BytesIO(self.data), encoding=self.encoding, newline="")
            return
        for line in self.data.splitlines(keepends=True):
            yield _line(line, self.legacy)


def decode(data: bytes, *, where: str) -> Text:
    """The text of a file.

    Args:
        data: the file's bytes.
        where: the file's name, for messages.

    Raises:
        UnreadableTable: the bytes are no text.

    >>> list(decode("naïve".encode("cp1252"), where="a.csv").lines())
    ['naïve']
    """
    for magic, what in _BINARY.items():
        if data.startswith(magic):
            raise UnreadableTable(f"{where} is {what}, not a table of text. Save it as CSV (UTF-8) or Parquet.")
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), None) or _wide(data)
    if encoding == "utf-8-sig" and not _decodes(data, "utf-8"):
        data, encoding = data[len(codecs.BOM_UTF8) :], None
    if encoding is not None:
        if not _decodes(data, encoding):
            raise UnreadableTable(f"{where} starts as {encoding} but is damaged further on. Save it again as UTF-8.")
        return Text(data, encoding)
    if len(data[:65536].translate(None, _CONTROLS)) < 0.95 * len(data[:65536]):
        raise UnreadableTable(
            f"{where} is a binary file, not a table of text. Save the table as CSV (UTF-8) or Parquet."
        )
    return Text(data, "utf-8") if _decodes(data, "utf-8") else _legacy(data)


def _wide(data: bytes) -> str | None:
    """UTF-16 without a mark: in most scripts' tables every second byte around a comma or line break is zero."""
    head = data[:4096]
    if head.count(0) < 0.2 * len(head):
        return None
    return "utf-16-le" if head[1::2].count(0) > head[0::2].count(0) else "utf-16-be"


def _decodes(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _legacy(data: bytes) -> Text:
    bad: list[int] = []
    sample: list[bytes] = []
    size = 0
    n_valid = 0
    for number, line in enumerate(data.splitlines(), start=1):
        if line.isascii():
            continue
        if _decodes(line, "utf-8"):
            n_valid += 1
            continue
        bad.append(number)
        if size < _SAMPLE_BYTES:
            sample.append(line[:_SAMPLE_BYTES])
            size += len(sample[-1])
    encoding = _suits(b"\n".join(sample))
    legacy_lines = np.asarray(bad if n_valid else [], np.int64)
    return Text(data, "utf-8" if n_valid else encoding, encoding, legacy_lines)


def _suits(sample: bytes) -> str:
    """The legacy encoding of some lines.

    Detectors are at their weakest on short Western lines, where cp1252 is nearly always right: it is left only for a
    Latin encoding in which the letters cohere better. Lines made mostly of high bytes are another script's.
    """
    from charset_normalizer import from_bytes

    letters = sum(1 for byte in sample if byte >= 0x80 or chr(byte).isalpha())
    high = sum(1 for byte in sample if byte >= 0x80)
    latin = high < 0.5 * letters
    matches = list(from_bytes(sample, cp_isolation=list(_LATIN if latin else _OTHER), threshold=0.5))
    if latin:
        texts = {name: sample.decode(name, errors="replace") for name in _LATIN}
        odd = {name: len(_ODD_LETTERS.findall(text)) for name, text in texts.items()}
        if min(odd.values()) < odd["cp1252"]:
            return min(odd, key=lambda name: odd[name])
        coherence = {match.encoding: match.coherence for match in matches}
        best = max(coherence, key=lambda name: coherence[name], default="cp1252")
        return best if coherence.get(best, 0.0) > coherence.get("cp1252", 0.0) + 0.1 else "cp1252"
    if any(match.encoding == "cp932" and _has_kana(str(match)) for match in matches):
        return "cp932"  # read as Korean, Japanese looks as coherent as when read as Japanese
    return matches[0].encoding if matches else "cp1252"


def _has_kana(text: str) -> bool:
    return any("\u3041" <= letter <= "\u30f6" for letter in text)


def _line(line: bytes, legacy: str) -> str:
    if line.isascii() or _decodes(line, "utf-8"):
        return line.decode("utf-8")
    try:
        return line.decode(legacy)
    except UnicodeDecodeError:
        return line.decode("latin-1")  # gives every byte a letter, so nothing is lost
