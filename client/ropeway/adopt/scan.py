"""Reads one foreign shard through, once: where its samples lie, their checksums, and the values that rules name.

Every byte is read, not the headers alone: an adopted shard belongs to somebody else, and only a checksum of each sample
can tell a trainer, later, that it was changed where it lies. Nothing is kept of it: a remote shard passes through a
temporary file without a name.
"""

import hashlib
import mmap
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np

from ropeway import tar
from ropeway.adopt import names
from ropeway.adopt.places import Place
from ropeway.adopt.rules import Rules
from ropeway.adopt.values import raw_values
from ropeway.checksum import crc32c
from ropeway.content import content_number
from ropeway.decoders.arrays import decode_npy
from ropeway.errors import FormatError
from ropeway.manifest import Kind
from ropeway.samples import ShardRef
from ropeway.shard_bytes import StoreBytes
from ropeway.shard_file import ShardFile
from ropeway.stored import PIECE, Advance, copy
from ropeway.stores import Store
from ropeway.tar import BLOCK, Member, Span

MOST = 20
"""Problems told of one shard."""

_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}


class Seen(NamedTuple):
    """What the members of a part have in common within a shard; None where they differ or nothing is known."""

    format: str
    dtype: str | None
    shape: tuple[int | None, ...] | None
    samples: int


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample: its span, the crc32c of that, its content's number, its parts, and raw values as JSON."""

    key: str
    span: Span
    crc32c: int
    content: int | None
    parts: dict[str, Span]
    values: dict[str, str]


@dataclass(frozen=True, slots=True)
class Scanned:
    """A shard that is sound. `ignored` counts members that belong to no sample; `requests` the reads over a network."""

    sha256: str
    samples: list[Sample]
    parts: dict[str, Seen]
    ignored: int
    requests: int


class Broken(FormatError):
    """A shard that can't be adopted; `problems` are one line each."""

    def __init__(self, problem: str, *, problems: tuple[str, ...] = (), **place: Any) -> None:
        super().__init__(problem, **place)
        self.problems = problems or (problem,)


def scan(store: Store, place: Place, rules: Rules, advance: Advance) -> Scanned:
    """Read one shard through.

    Args:
        store: any store; shards with URLs of their own are reached through it.
        place: where the shard is.
        rules: what to look for.
        advance: told the bytes of each piece read.

    Raises:
        Broken: it is cut short, compressed, holds a key twice, scatters the members of a sample, …; every problem
            names the key and the offset.
        StoreError: it can't be read.
    """
    reader = StoreBytes(store, [ShardRef("", "", place.url, place.bytes, "")])
    mapped = reader.map(0)
    if mapped is not None:
        return _scan(mapped, _sha256(mapped, advance), place, rules, 0)
    with tempfile.TemporaryFile(prefix="ropeway-adopt-") as temporary:
        file = cast("BinaryIO", temporary)
        sha256 = copy(reader, place.bytes, file, advance)
        content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)) if place.bytes else memoryview(b"")
        return _scan(content, sha256, place, rules, reader.counters.requests)


def _sha256(content: memoryview, advance: Advance) -> str:
    digest = hashlib.sha256()
    for start in range(0, len(content), PIECE):
        piece = content[start : start + PIECE]
        digest.update(piece)
        advance(len(piece))
    return digest.hexdigest()


def _scan(content: memoryview, sha256: str, place: Place, rules: Rules, requests: int) -> Scanned:
    for magic, name in _COMPRESSED.items():
        if bytes(content[: len(magic)]) == magic:
            raise Broken(f"compressed with {name}, so samples have no byte ranges: unpack it, then adopt the plain tar")
    shard = _Shard(content, place, rules)
    try:
        samples = list(shard.samples())
    except FormatError as error:
        shard.problems.append(str(error))
        samples = []
    if content.nbytes > shard.end and np.frombuffer(content[shard.end :], np.uint8).any():
        shard.problem("bytes follow the archive's end: several tars in one file, of which readers see the first",
                      offset=shard.end)  # fmt: skip
    if not samples and not shard.problems:
        shard.problem("the archive holds no samples")
    if shard.problems:
        told = shard.problems[:MOST]
        more = len(shard.problems) - len(told)
        problems = (*told, f"and {more} more problems") if more else tuple(told)
        raise Broken(problems[0], problems=problems)
    return Scanned(sha256, samples, shard.parts, shard.ignored, requests)


@dataclass(slots=True)
class _Shard:
    """One pass over the members. Samples' spans tile the archive up to `end`."""

    content: memoryview
    place: Place
    rules: Rules
    end: int = 0
    ignored: int = 0
    problems: list[str] = field(default_factory=list)
    parts: dict[str, Seen] = field(default_factory=dict)
    named: dict[str, str] = field(init=False)
    kinds: dict[str, Kind] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.named = self.rules.named

    def problem(self, text: str, *, key: str | None = None, offset: int | None = None) -> None:
        self.problems.append(str(FormatError(text, key=key, offset=offset)))

    def samples(self) -> Iterator[Sample]:
        seen: dict[str, frozenset[str]] = {}
        for key, group in groupby(self._members(), key=lambda one: one[0].key):
            begin, members = self.end, [(one.field, member) for one, member in group]
            fields = frozenset(field for field, _ in members)
            self.end = max(member.offset + member.length + -member.length % BLOCK for _, member in members)
            if key in seen:
                self._again(key, seen[key], fields, begin)
                continue
            seen[key] = fields
            sample = self._sample(key, members, Span(begin, self.end - begin))
            if sample is not None:
                yield sample

    def _again(self, key: str, before: frozenset[str], now: frozenset[str], offset: int) -> None:
        if before & now:
            self.problem("two samples have this key", key=key, offset=offset)
        else:
            self.problem("the members of a sample are not adjacent: pack it again, sorted (tar --sort=name)", key=key,
                         offset=offset)  # fmt: skip

    def _members(self) -> Iterator[tuple[names.Field, Member]]:
        for member in tar.members(cast("BinaryIO", ShardFile.over(self.content))):
            one = names.split(member.name)
            if one is None:
                self.ignored += 1
            else:
                yield one, member

    def _sample(self, raw: str, members: list[tuple[str, Member]], span: Span) -> Sample | None:
        places: dict[str, Span] = {}
        forms: dict[str, str] = {}
        for field_, member in members:
            part, form = names.part_of(field_, self.named)
            if field_ in self.rules.drop or part in self.rules.drop:
                continue
            if part in places:
                self.problem(f"two members are the part {part!r}: name them apart under [parts]", key=raw,
                             offset=member.offset)  # fmt: skip
                return None
            places[part], forms[part] = Span(member.offset, member.length), form
        contents = {part: self.content[at.offset : at.offset + at.length] for part, at in places.items()}
        if not places:
            self.problem("every member of the sample is dropped", key=raw, offset=span.offset)
            return None
        try:
            key = names.key_of(self.rules.key, self.place.name, raw)
            values = raw_values(self.rules.values, contents, forms)
            self._note(contents, forms)
        except FormatError as error:
            self.problem(str(error), key=raw, offset=span.offset)
            return None
        whole = self.content[span.offset : span.offset + span.length]
        return Sample(key, span, crc32c(whole), content_number(contents, self.kinds), places, values)

    def _note(self, contents: dict[str, memoryview], forms: dict[str, str]) -> None:
        """What the parts of one sample add to what is known of the shard's parts."""
        for part, form in forms.items():
            dtype, shape = _array(contents[part]) if form == "npy" else (None, None)
            here = Seen(form, dtype, shape, 1)
            self.parts[part] = merged(part, self.parts[part], here) if part in self.parts else here
            if part not in self.kinds:
                kind = (self.rules.parts[part].kind if part in self.rules.parts else None) or names.kind_of(form)
                if kind != "table":  # as everywhere, tables do not make a sample the same as another
                    self.kinds[part] = kind


def merged(part: str, one: Seen, other: Seen) -> Seen:
    """What two descriptions of a part have in common.

    Raises:
        FormatError: its formats differ, and are not all pictures.
    """
    form = one.format
    if one.format != other.format and not {one.format, other.format} <= set(names.PICTURES):
        raise FormatError(f"part {part!r} is {one.format} in one sample and {other.format} in another: name them apart "
                          "under [parts]")  # fmt: skip
    dtype = one.dtype if one.dtype == other.dtype else None
    return Seen(form, dtype, _common(one.shape, other.shape), one.samples + other.samples)


def _common(one: tuple[int | None, ...] | None, other: tuple[int | None, ...] | None) -> tuple[int | None, ...] | None:
    if one == other or one is None or other is None or len(one) != len(other):
        return one if one == other else None
    return tuple(a if a == b else None for a, b in zip(one, other, strict=True))


def _array(content: memoryview) -> tuple[str | None, tuple[int, ...] | None]:
    """dtype and shape of an npy member; of one that holds Python objects, or is damaged, nothing is told."""
    try:
        array = decode_npy(content)
    except ValueError:
        return None, None
    return array.dtype.str, array.shape
