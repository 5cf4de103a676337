"""What the licences of several datasets say together: the terms that hold for a view, and where they contradict.

This reads the licence names of dataset cards. It is a reminder for people who have read the licences, and no advice.
"""

import re
from collections.abc import Sequence, Set
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

from ropeway.manifest import Access, Card, Manifest

Term: TypeAlias = Literal["NC", "ND", "SA", "registered", "credentialed", "restricted", "unclear"]
"""No commercial use; nothing made of it may be passed on; what is made of it is shared under the same licence; only for
those whom its owner has let in, by tier; not said, or nothing known by that name."""

_TIERS: tuple[Term, ...] = ("registered", "credentialed", "restricted")
_ORDER: tuple[Term, ...] = ("NC", "ND", "SA", *_TIERS, "unclear")

_WORDS: tuple[tuple[Term, re.Pattern[str]], ...] = (
    ("NC", re.compile(r"\bNC\b|non-?commercial|\bresearch\b", re.IGNORECASE)),
    ("ND", re.compile(r"\bND\b|no.derivatives|no redistribution", re.IGNORECASE)),
    ("SA", re.compile(r"\bSA\b|\bA?GPL\b|share.?alike", re.IGNORECASE)),
)
_FREE = re.compile(r"\b(CC.?BY|CC.?0|MIT|BSD|Apache|ISC|Unlicense|ODC.?By|PDDL)\b|public domain|no restrictions",
                   re.IGNORECASE)  # fmt: skip
_NOT_KNOWN = re.compile(
    r"none stated|not verified|their (sites|makers)|may claim|terms of their own|each under", re.IGNORECASE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetLicence:
    """One dataset's licence, as its card names it, and the terms read from it."""

    dataset: str
    version: str
    licence: str
    access: Access
    terms: tuple[Term, ...]
    citation: str
    homepage: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Licence:
    """The licences of all datasets of a view.

    Attributes:
        terms: of all of them together; empty where every one only asks for its name to be given.
        conflicts: pairs of terms that nobody can keep at once when passing on what is made of the view, in words.
    """

    datasets: tuple[DatasetLicence, ...]
    terms: tuple[Term, ...]
    conflicts: tuple[str, ...]


def joined(manifests: Sequence[Manifest]) -> Licence:
    """The licence of what is made from these dataset versions together."""
    datasets = tuple(_read(manifest) for manifest in manifests)
    terms: set[Term] = set().union(*(one.terms for one in datasets))
    return Licence(datasets=datasets, terms=_sorted(terms), conflicts=tuple(dict.fromkeys(_conflicts(datasets))))


@lru_cache(maxsize=1024)
def terms_of(card: Card) -> tuple[Term, ...]:
    """The terms of one dataset: from its licence's name, its tier, and whether its packed form may be passed on."""
    found: set[Term] = {term for term, words in _WORDS if words.search(card.licence)}
    if card.access != "open":
        found.add(card.access)
    if _NOT_KNOWN.search(card.licence) or not (found or _FREE.search(card.licence)):
        found.add("unclear")
    if not card.shareable:
        found.add("ND")
    return _sorted(found)


def _sorted(terms: Set[Term]) -> tuple[Term, ...]:
    return tuple(term for term in _ORDER if term in terms)


def _read(manifest: Manifest) -> DatasetLicence:
    card = manifest.card
    return DatasetLicence(
        dataset=manifest.dataset,
        version=manifest.version,
        licence=card.licence,
        access=card.access,
        terms=terms_of(card),
        citation=card.citation,
        homepage=card.homepage,
    )


def _conflicts(datasets: Sequence[DatasetLicence]) -> list[str]:
    """Share-alike against all that cannot be shared under it.

    As Creative Commons' chart of what may be combined (wiki.creativecommons.org/wiki/Wiki/cc_license_compatibility):
    share-alike material goes with no other share-alike licence, and with NC and ND only where it says the same.
    """
    found = []
    for one in datasets:
        if "SA" not in one.terms:
            continue
        for other in datasets:
            bars = [term for term in ("NC", "ND", *_TIERS) if term in other.terms and term not in one.terms]
            found += [f"{one.dataset} ({one.licence}) asks to share alike what {other.dataset} ({other.licence}) bars: "
                      f"{term}" for term in bars]  # fmt: skip
            if "SA" in other.terms and _same(one.licence) < _same(other.licence):
                found.append(f"{one.dataset} and {other.dataset} ask to share alike under two licences: {one.licence}, "
                             f"{other.licence}")  # fmt: skip
    return found


def _same(licence: str) -> str:
    return re.sub(r"[^a-z0-9.]", "", licence.lower())
