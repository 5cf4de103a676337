"""Reads one foreign shard: where its samples lie, their checksums, and the values that rules name.

`scan` reads every byte, once: an adopted shard belongs to somebody else, and only a checksum of each sample can tell a
trainer, later, that it was changed where it lies. Nothing is kept of it: a remote shard passes through a temporary file
without a name. `skim` reads headers, and those members that labels and metadata are in: there are no checksums then.
"""

import hashlib
import mmap
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np

from ropeway import tar
from ropeway.adopt import names
from ropeway.adopt.places import Place
from ropeway.adopt.rules import Rules
from ropeway.adopt.sources import FIRST, Skimmed, Source, Whole
from ropeway.adopt.values import raw_values
from ropeway.checksum import crc32c
from ropeway.content import content_number
from ropeway.decoders.arrays import npy_layout
from ropeway.errors import FormatError
from ropeway.manifest import NO_SHA256, Kind
from ropeway.shard_bytes import StoreBytes
from ropeway.shard_file import ShardFile
from ropeway.stored import PIECE, Advance, copy
from ropeway.tar import BLOCK, Span

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
    """One sample: its span, the crc32c of that, its content's number, its parts, and raw values as JSON.

    Checksum and number are None where the sample was not read.
    """

    key: str
    span: Span
    crc32c: int | None
    content: int | None
    parts: dict[str, Span]
    values: dict[str, str]


@dataclass(frozen=True, slots=True)
class Scanned:
    """A shard that is sound.

    Attributes:
        sha256: of the shard, or `NO_SHA256`.
        ignored: members that belong to no sample.
        read: bytes.
    """

    sha256: str
    samples: list[Sample]
    parts: dict[str, Seen]
    ignored: int
    read: int


class Broken(FormatError):
    """A shard that can't be adopted; `problems` are one line each."""

    def __init__(self, problem: str, *, problems: tuple[str, ...] = (), **place: Any) -> None:
        super().__init__(problem, **place)
        self.problems = problems or (problem,)


def scan(reader: StoreBytes, number: int, place: Place, rules: Rules, advance: Advance) -> Scanned:
    """Read one shard through.

    Args:
        reader: of shards, of which this is one.
        number: which.
        place: where the shard is.
        rules: what to look for.
        advance: told the bytes of each piece read.

    Raises:
        Broken: it is cut short, compressed, holds a key twice, scatters the members of a sample, …; every problem
            names the key and the offset.
        StoreError: it can't be read.
    """
    mapped = reader.map(number)
    if mapped is not None:
        return _scan(Whole(mapped), _sha256(mapped, advance), place, rules)
    with tempfile.TemporaryFile(prefix="ropeway-adopt-") as temporary:
        file = cast("BinaryIO", temporary)
        sha256 = copy(reader, place.bytes, file, advance, number)
        content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)) if place.bytes else memoryview(b"")
        return _scan(Whole(content), sha256, place, rules)


def skim(reader: StoreBytes, number: int, place: Place, rules: Rules, advance: Advance) -> Scanned:
    """Read the headers of one shard, and the members that rules take values from; see `scan`."""
    mapped = reader.map(number)
    if mapped is not None:
        source = Skimmed(lambda start, stop: mapped[start:stop], len(mapped), FIRST)
    else:
        source = Skimmed(partial(reader.read, number), place.bytes)
    try:
        return _scan(source, NO_SHA256, place, rules)
    finally:
        advance(place.bytes)


def _sha256(content: memoryview, advance: Advance) -> str:
    digest = hashlib.sha256()
    for start in range(0, len(content), PIECE):
        piece = content[start : start + PIECE]
        digest.update(piece)
        advance(len(piece))
    return digest.hexdigest()


def _scan(source: Source, sha256: str, place: Place, rules: Rules) -> Scanned:
    for magic, name in _COMPRESSED.items():
        if bytes(source.read(0, min(len(magic), source.size))) == magic:
            raise Broken(f"compressed with {name}, so samples have no byte ranges: unpack it, then adopt the plain tar")
    shard = _Shard(source, place, rules)
    samples: list[Sample] = []
    try:
        samples = list(shard.samples())
    except FormatError as error:  # where the archive ends is not known then
        shard.problems.append(str(error))
    else:
        _check_end(source, shard)
    if not samples and not shard.problems:
        shard.problem("the archive holds no samples")
    if shard.problems:
        told = shard.problems[:MOST]
        more = len(shard.problems) - len(told)
        problems = (*told, f"and {more} more problems") if more else tuple(told)
        raise Broken(problems[0], problems=problems)
    return Scanned(sha256, samples, shard.parts, shard.ignored, source.taken)


def _check_end(source: Source, shard: "_Shard") -> None:
    """Nothing but zeros may follow the last member."""
    rest = source.size if source.whole else min(source.size, shard.end + PIECE)
    if rest > shard.end and np.frombuffer(source.read(shard.end, rest), np.uint8).any():
        shard.problem("bytes follow the archive's end: several tars in one file, of which readers see the first",
                      offset=shard.end)  # fmt: skip


class _Found(NamedTuple):
    """One member of a sample: its part (None: dropped), and of that what was read."""

    key: str
    field: str
    part: str | None
    form: str
    place: Span
    content: memoryview | None
    array: tuple[str | None, tuple[int, ...] | None]


@dataclass(slots=True)
class _Shard:
    """One pass over the members. Samples' spans tile the archive up to `end`."""

    source: Source
    place: Place
    rules: Rules
    end: int = 0
    ignored: int = 0
    problems: list[str] = field(default_factory=list)
    parts: dict[str, Seen] = field(default_factory=dict)
    named: dict[str, str] = field(init=False)
    valued: frozenset[str] = field(init=False)
    kinds: dict[str, Kind] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.named = self.rules.named
        self.valued = frozenset(place.partition(".")[0] for place in self.rules.values)

    def problem(self, text: str, *, key: str | None = None, offset: int | None = None) -> None:
        self.problems.append(str(FormatError(text, key=key, offset=offset)))

    def samples(self) -> Iterator[Sample]:
        seen: dict[str, frozenset[str]] = {}
        for key, group in groupby(self._members(), key=lambda found: found.key):
            begin, members = self.end, list(group)
            fields = frozenset(found.field for found in members)
            self.end = max(found.place.offset + found.place.length + -found.place.length % BLOCK for found in members)
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

    def _members(self) -> Iterator[_Found]:
        for member in tar.members(cast("BinaryIO", ShardFile(self.source.read, self.source.size))):
            one = names.split(member.name)
            if one is None:
                self.ignored += 1
                continue
            part, form = names.part_of(one.field, self.named)
            at = Span(member.offset, member.length)
            if one.field in self.rules.drop or part in self.rules.drop:
                yield _Found(one.key, one.field, None, form, at, None, (None, None))
                continue
            # Now, before what follows is read: a skimmed shard would have to be asked again.
            wanted = self.source.whole or part in self.valued
            content = self.source.read(at.offset, at.offset + at.length) if wanted else None
            array = self._array(at) if form == "npy" else (None, None)
            yield _Found(one.key, one.field, part, form, at, content, array)

    def _sample(self, raw: str, members: list[_Found], span: Span) -> Sample | None:
        kept = dict[str, _Found]()
        for found in members:
            if found.part is None:
                continue
            if found.part in kept:
                self.problem(f"two members are the part {found.part!r}: name them apart under [parts]", key=raw,
                             offset=found.place.offset)  # fmt: skip
                return None
            kept[found.part] = found
        if not kept:
            self.problem("every member of the sample is dropped", key=raw, offset=span.offset)
            return None
        contents = {part: found.content for part, found in kept.items() if found.content is not None}
        try:
            key = names.key_of(self.rules.key, self.place.name, raw)
            values = raw_values(self.rules.values, contents, {part: found.form for part, found in kept.items()})
            self._note(kept)
        except FormatError as error:
            self.problem(str(error), key=raw, offset=span.offset)
            return None
        checksum = number = None
        if self.source.whole:
            checksum = crc32c(self.source.read(span.offset, span.offset + span.length))
            number = content_number(contents, self.kinds)
        return Sample(key, span, checksum, number, {part: found.place for part, found in kept.items()}, values)

    def _note(self, kept: dict[str, _Found]) -> None:
        """What the parts of one sample add to what is known of the shard's parts."""
        for part, found in kept.items():
            here = Seen(found.form, *found.array, 1)
            self.parts[part] = merged(part, self.parts[part], here) if part in self.parts else here
            if part not in self.kinds:
                kind = (self.rules.parts[part].kind if part in self.rules.parts else None) or names.kind_of(found.form)
                if kind != "table":  # as everywhere, tables do not make a sample the same as another
                    self.kinds[part] = kind

    def _array(self, at: Span) -> tuple[str | None, tuple[int, ...] | None]:
        """dtype and shape of an npy member, by its header; of one that holds Python objects, or is damaged, nothing."""
        file = ShardFile(lambda start, stop: self.source.read(at.offset + start, at.offset + stop), at.length)
        try:
            layout = npy_layout(cast("BinaryIO", file))
        except ValueError:
            return None, None
        fits = layout.offset + layout.size <= at.length
        return (layout.dtype.str, layout.shape) if fits else (None, None)


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
