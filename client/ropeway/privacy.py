"""Looks in a packed dataset for what may name a person: keys, metadata, all text inside its parts, and in its pictures.

Findings say where, and never what: the words found are only shown as their shape. Shards are read one by one and
samples one by one, so memory is that of a sample and of the index.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from ropeway import manifest as manifests
from ropeway.indexed import load_index
from ropeway.keys import unescape_key
from ropeway.manifest import Manifest
from ropeway.privacy_pictures import pictures_in
from ropeway.privacy_pixels import KINDS, RULE, TextReader
from ropeway.privacy_rules import NAME, Hit, Identifiers, masked, shapes
from ropeway.privacy_texts import texts
from ropeway.privacy_words import Words
from ropeway.stored import Advance, StoredPart, StoredSample, stored_samples
from ropeway.stores import Store

MOST = 100
"""Findings kept for each rule; their number is told all the same."""
OLDEST = 90
"""Years. Older ages are to be given as it (45 CFR 164.514(b)(2)(i)(C) sets the limit at 89)."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One trace of a person.

    Attributes:
        shard, key: the sample; a key that gives somebody away is masked too, and empty where it is no sample's.
        where: the column, or the part and the place in it.
        rule: what it looks like.
        shown: the words found, letters as x and digits as 9.
    """

    dataset: str
    shard: str
    key: str
    where: str
    rule: str
    shown: str

    def __str__(self) -> str:
        place = ", ".join(f"{name} {value}" for name, value in (("shard", self.shard), ("key", self.key)) if value)
        return f"{self.rule} in {self.where}: {self.shown} [{self.dataset}{', ' if place else ''}{place}]"


@dataclass(frozen=True, slots=True)
class PrivacyReport:
    """What was read, how often each rule was met, and the first findings of each; empty `counts` mean nothing found.

    Attributes:
        unseen: what was to be looked at and could not be, by format → how often.
    """

    dataset: str
    version: str
    samples: int
    counts: dict[str, int]
    findings: tuple[Finding, ...]
    unseen: dict[str, int]


def lint(store: Store, manifest: Manifest, identifiers: Identifiers, advance: Advance = lambda _: None, *,
         reader: TextReader | None = None) -> PrivacyReport:  # fmt: skip
    """Read a dataset version through.

    Args:
        store: where it lies.
        manifest: the version.
        identifiers: names and ids that must not be in it.
        advance: told the bytes of each piece read, for a progress bar.
        reader: also reads the text that stands in pictures; any of it is a finding.

    Raises:
        StoreError: the store can't be read.
        FormatError: a shard or the index is damaged.
        UsageError: a library that reads one of its formats is not installed.
    """
    pictured = frozenset(part.name for part in manifest.parts if part.kind in KINDS)
    rows = load_index(store, manifest)
    found = _Findings(manifest.dataset, identifiers)
    found.planted("manifest", manifests.dumps(manifest).decode())
    found.telling = set(_keys(rows, found))
    _columns(rows, found)
    for shard in manifest.shards:
        for sample in stored_samples(store, manifest, shard, advance):
            _sample(sample, shard.path, found)
            if reader is not None:
                _pictures(sample, shard.path, pictured, reader, found)
    counts, unseen = dict(sorted(found.counts.items())), dict(sorted(found.unseen.items()))
    return PrivacyReport(manifest.dataset, manifest.version, manifest.samples, counts, tuple(found.kept), unseen)


@dataclass(slots=True)
class _Findings:
    dataset: str
    identifiers: Identifiers
    telling: set[str] = field(default_factory=set)
    """Keys that give somebody away."""
    counts: Counter[str] = field(default_factory=Counter)
    kept: list[Finding] = field(default_factory=list)
    unseen: Counter[str] = field(default_factory=Counter)

    def words(self, text: str) -> list[Hit]:
        return [*self.identifiers.found(text), *shapes(text)]

    def add(self, where: str, hits: Iterable[Hit], shard: str = "", key: str = "") -> None:
        shown = masked(key) if key in self.telling else key
        for hit in hits:
            self.counts[hit.rule] += 1
            if self.counts[hit.rule] <= MOST:
                self.kept.append(Finding(self.dataset, shard, shown, where, hit.rule, masked(hit.words)))

    def planted(self, where: str, text: str) -> None:
        self.add(where, self.identifiers.found(text))


def _keys(rows: pa.Table, found: _Findings) -> Iterator[str]:
    for key, shard in zip(rows.column("key").to_pylist(), rows.column("shard").to_pylist(), strict=True):
        hits = found.words(unescape_key(key))
        if hits:
            found.telling.add(key)
            found.add("key", hits, shard, key)
            yield key


def _columns(rows: pa.Table, found: _Findings) -> None:
    """Each distinct value of each column once; a finding names the first sample that has it."""
    for name in ("subject", *(name for name in rows.schema.names if name.startswith("meta."))):
        stored = rows.column(name)
        column = stored.cast(stored.type.value_type) if pa.types.is_dictionary(stored.type) else stored
        is_text = pa.types.is_string(column.type)
        for value in pc.drop_null(column.unique()).to_pylist():
            hits = found.words(value) if is_text else [*found.identifiers.found(str(value)), *_age(name, value)]
            if is_text and "burned" in name and value.upper() == "YES":
                hits.append(Hit("burned-in text", value))
            if hits:
                at = pc.index(column, value).as_py()
                found.add(name, hits, rows.column("shard")[at].as_py(), rows.column("key")[at].as_py())


def _age(column: str, value: float) -> Iterator[Hit]:
    if "age" in column.removeprefix("meta.").split("_") and value > OLDEST:
        yield Hit(f"age over {OLDEST}", str(value))


def _sample(sample: StoredSample, shard: str, found: _Findings) -> None:
    for part in sample.parts:
        for words in texts(part.format, part.content):
            found.add(f"{part.name}.{part.format}, {words.place}", _hits(words, found), shard, sample.key)


def _pictures(sample: StoredSample, shard: str, pictured: Set[str], reader: TextReader, found: _Findings) -> None:
    for part in sample.parts:
        if part.name in pictured:
            for words in _seen(part, reader, found):
                hits = found.words(words.text) or [Hit(words.rule, words.text)]
                found.add(f"{part.name}.{part.format}, {words.place}", hits, shard, sample.key)


def _seen(part: StoredPart, reader: TextReader, found: _Findings) -> Iterator[Words]:
    """The text in a part's pictures; that one cannot be looked at is a finding, too."""
    try:
        for place, values, unseen in pictures_in(part.format, part.content):
            if values is None:
                found.unseen[unseen] += 1
                continue
            for words in reader.words(values):
                yield words._replace(place=f"{place}, {words.place}" if place else words.place, rule=RULE)
    except (ValueError, OSError):
        yield Words("content", part.format, "not readable")


def _hits(words: Words, found: _Findings) -> list[Hit]:
    """The rule that the place is under, or what the text is like; and listed identifiers in any case."""
    if words.rule:
        return [Hit(words.rule, words.text), *found.identifiers.found(words.text)]
    hits = found.words(words.text)
    return [hit for hit in hits if not words.noise or hit.rule != NAME]
