"""What gives a person away in a text: identifiers that somebody lists, and shapes that identifiers have.

The shapes follow the identifiers that the HIPAA safe harbour names (45 CFR 164.514(b)(2)) as far as text shows them:
dates, telephone numbers, mail addresses, social security and record numbers, names where a header marks them. A shape
can be innocent, and a name in running text has none: list the names that are known.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from ropeway.errors import UsageError

PLANTED = "listed identifier"
"""The rule that `Identifiers` finds by."""
NAME = "person's name"

_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_YEAR = r"(?:19|20)\d\d"
"""Years of living people. Dates shifted for publication lie beyond (MIMIC's are in 2100 to 2200)."""
_RULES: dict[str, tuple[tuple[str, ...], str]] = {
    # UIDs of the DICOM standard (1.2.840.10008) name no object, and those made of a hash (2.25) tell nothing.
    "unique id": ((".",), r"(?<![\d.])(?=[\d.]{18})(?!1\.2\.840\.10008\.|2\.25\.)[0-2](?:\.\d{1,39}){4,}(?!\d)"),
    "mail address": (("@",), r"[\w.+-]{2,}@[\w-]+(?:\.[\w-]+)+"),
    "social security number": (("-",), r"(?<![\w-])\d{3}-\d{2}-\d{4}(?![\w-])"),
    "telephone number": (
        ("-", ".", "+", "("),
        (
            r"(?<![\w.+-])(?:\+\d{1,3}[ .-]?(?:\(?\d{2,4}\)?[ .-]?){2,4}\d{2,4}|\(\d{3}\) ?\d{3}[ .-]\d{4}"
            r"|\d{3}[-.]\d{3}[-.]\d{4})(?![\w-])"
        ),
    ),
    "date of birth": (
        ("birth", "dob", "born", "geb"),
        r"(?i:\b(?:date of birth|birth ?date|dob|born|geburtsdatum|geb\.))\W{1,4}(?:on )?\w{0,10}[ .]{0,2}\d[\w./-]*",
    ),
    "record number": (
        ("mrn", "record", "patient", "accession"),
        (
            r"(?i:\b(?:mrn|medical record (?:no|number)|patient[ _]?(?:id|no|number)|accession(?: (?:no|number))?))"
            r"\W{1,4}[A-Za-z]{0,3}\d{4,}"
        ),
    ),
    NAME: (
        ("^", "name", "mr", "ms.", "dr."),
        r"\b[^\W\d_]{2,}\^[^\W\d_]{2,}|(?i:\b(?:patient(?:'s)?[ _]?name|mrs?\.|ms\.|dr\.))\W{0,4}[A-Z][a-z]+",
    ),
    "date": (
        ("19", "20"),
        (
            rf"(?<![\w.]){_YEAR}(?P<a>[-/.:]?)(?:0[1-9]|1[0-2])(?P=a)(?:0[1-9]|[12]\d|3[01])(?:\d{{4,6}})?(?!\d)"
            rf"|(?<![\w.])\d{{1,2}}(?P<b>[-/.])\d{{1,2}}(?P=b){_YEAR}(?!\d)"
            rf"|(?i:\b\d{{1,2}}(?:st|nd|rd|th)?[ -]{_MONTH}[ ,-]+{_YEAR}\b|\b{_MONTH} \d{{1,2}},? {_YEAR}\b)"
        ),
    ),
}
"""Rule → what a text must hold, one of these at least, to be looked at; and the shape."""

_NUMBER = re.compile(r"\d")
_WORDS = ("mail address", NAME)
"""Rules that need no digit."""
_COMPILED = [(rule, signs, re.compile(shape)) for rule, (signs, shape) in _RULES.items()]
_CJK = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_TOKEN = re.compile(rf"[{_CJK}]|(?:(?![{_CJK}])[^\W\d_])+|\d+")
_SHORTEST = 4
"""Weight of the shortest identifier (see `_weight`): what is shorter turns up everywhere by chance."""


class Hit(NamedTuple):
    """Something found in a text: the rule, and the words it found (never to be printed as they are)."""

    rule: str
    words: str


def shapes(text: str) -> Iterator[Hit]:
    """What in a text has the shape of an identifier. A date of birth is a date too."""
    lower, numbers = text.lower(), _NUMBER.search(text)
    for rule, signs, shape in _COMPILED:
        if (numbers or rule in _WORDS) and any(sign in lower for sign in signs):
            for match in shape.finditer(text):
                yield Hit(rule, match.group())


def masked(words: str) -> str:
    """The shape of some words without the words: `Doe^John 1950` is `xxx^xxxx 9999`."""
    shown = "".join("9" if c.isdigit() else "x" if c.isalpha() else c for c in words[:40])
    return shown if len(words) <= 40 else f"{shown}…"


class Identifiers:
    """Names and ids to look for, whatever their case, accents, punctuation, and order of two names.

    Text is compared token by token, a token being a run of letters or of digits (one character in Chinese, Japanese
    and Korean): `10000032` is found in `p10000032.dcm` and not in `100000321`; `Doe, John` in `JOHN^DOE` and `johndoe`.
    A list of any length costs the same.
    """

    def __init__(self, identifiers: Iterable[str]) -> None:
        self._tails: dict[str, set[tuple[str, ...]]] = {}
        for identifier in identifiers:
            tokens = tuple(_TOKEN.findall(_plain(identifier)))
            if not tokens:
                raise UsageError("an identifier without a letter or digit: there is nothing to look for")
            orders = {tokens, tokens[::-1] if len(tokens) == 2 else tokens}
            for form in orders | {_joined(order) for order in orders}:
                self._tails.setdefault(form[0], set()).add(form[1:])

    @classmethod
    def read(cls, file: Path) -> "Identifiers":
        """Identifiers from a file, one a line: UTF-8, UTF-16 with its mark, or else Latin-1.

        Raises:
            UsageError: the file can't be read or is empty, or a line is too short to mean anything.
        """
        try:
            content = file.read_bytes()
        except OSError as error:
            raise UsageError(f"cannot read the identifiers {file}: {error.strerror}") from error
        lines = [line.strip() for line in decoded(content).splitlines()]
        for number, line in enumerate(lines, 1):
            if line and _weight("".join(_TOKEN.findall(_plain(line)))) < _SHORTEST:
                raise UsageError(f"line {number} of {file} is too short: it would be found everywhere by chance")
        if not any(lines):
            raise UsageError(f"there is no identifier in {file}: write one a line")
        return cls(line for line in lines if line)

    def __bool__(self) -> bool:
        return bool(self._tails)

    def found(self, text: str) -> Iterator[Hit]:
        """Where the identifiers are in a text."""
        if not self._tails:
            return
        tokens = _TOKEN.findall(_plain(text))
        for place, token in enumerate(tokens):
            for tail in self._tails.get(token, ()):
                if tuple(tokens[place + 1 : place + 1 + len(tail)]) == tail:
                    yield Hit(PLANTED, " ".join((token, *tail)))


def decoded(content: bytes) -> str:
    """Bytes as text: UTF-8, UTF-16 with its mark, or else Latin-1, which takes anything."""
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16", "replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _plain(text: str) -> str:
    """Without case, accents and widths."""
    if text.isascii():
        return text.lower()
    letters = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return unicodedata.normalize("NFC", letters).casefold()


def _joined(tokens: tuple[str, ...]) -> tuple[str, ...]:
    """Names written as one word; numbers stay apart, as their tokens are in any text."""
    return ("".join(tokens),) if all(token.isascii() and token.isalpha() for token in tokens) else tokens


def _weight(text: str) -> int:
    """Length, in which a character outside ASCII counts twice: a Chinese name has two or three."""
    return sum(1 if c.isascii() else 2 for c in text)
