"""Chapters of ICD-9-CM and ICD-10-CM diagnosis codes, under names that both versions share.

Source: the tabular lists of both classifications (CDC/NCHS: ICD-9-CM 2011, ICD-10-CM 2024). ICD-9-CM has one chapter
for the nervous system and the sense organs (320-389); it is cut where ICD-10-CM has three (359/360, 379/380).
"""

from functools import lru_cache

_NINTH = {
    139: "infections", 239: "neoplasms", 279: "endocrine", 289: "blood", 319: "mental", 359: "nervous", 379: "eye",
    389: "ear", 459: "circulatory", 519: "respiratory", 579: "digestive", 629: "genitourinary", 679: "pregnancy",
    709: "skin", 739: "musculoskeletal", 759: "congenital", 779: "perinatal", 799: "symptoms", 999: "injury",
}  # fmt: skip
"""Last three-digit category → chapter."""

_TENTH = {
    "B": "infections", "D4": "neoplasms", "D": "blood", "E": "endocrine", "F": "mental", "G": "nervous", "H5": "eye",
    "H": "ear", "I": "circulatory", "J": "respiratory", "K": "digestive", "L": "skin", "M": "musculoskeletal",
    "N": "genitourinary", "O": "pregnancy", "P": "perinatal", "Q": "congenital", "R": "symptoms", "T": "injury",
    "U": "special", "Y": "external", "Z": "factors",
}  # fmt: skip
"""Where a chapter ends: all categories up to those that begin so."""


@lru_cache(maxsize=1 << 16)
def chapter(code: str, version: str) -> str:
    """The chapter of a diagnosis code, written with or without its dot.

    Raises:
        ValueError: neither version 9 nor 10, or not a code of that version.
    """
    plain = code.strip().replace(".", "").upper()
    if version == "9":
        return _ninth(plain)
    if version == "10" and len(plain) >= 3 and plain[0].isalpha() and plain[1].isdigit():
        return next(name for end, name in _TENTH.items() if plain[:2] <= end.ljust(2, "9"))
    raise ValueError(f"not an ICD-{version} diagnosis code: {code!r}")


def _ninth(plain: str) -> str:
    if plain[:1] in ("E", "V") and plain[1:].isdigit():
        return "external" if plain[0] == "E" else "factors"
    if len(plain) >= 3 and plain.isdigit() and plain[:3] != "000":
        return next(name for last, name in _NINTH.items() if int(plain[:3]) <= last)
    raise ValueError(f"not an ICD-9 diagnosis code: {plain!r}")
