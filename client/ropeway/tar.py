"""The one module that knows tar.

Shards are plain POSIX (ustar) archives. A member is named `key.part.format`; the members of a sample are adjacent.
Every header field that is not a name or a size is fixed, so equal samples give equal bytes. Names past 100 bytes
get a pax header in front of them, as POSIX says. A sample's span is the run of whole 512-byte blocks
that holds its members, headers and padding included: a span cut out of a shard is itself a readable tar fragment.
"""

import io
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache, partial
from typing import BinaryIO, NamedTuple

from ropeway.errors import FormatError
from ropeway.keys import check_key, check_part

BLOCK = 512
END = bytes(2 * BLOCK)
"""Two zero blocks close an archive; nothing follows them (no padding to 10 KiB records)."""

_FORMAT = re.compile(r"[A-Za-z0-9]+(?:\.[A-Za-z0-9]+)*")


class Span(NamedTuple):
    """A byte range of a shard."""

    offset: int
    length: int


class Member(NamedTuple):
    """One file in a shard: its name and where its content lies (header not included)."""

    name: str
    offset: int
    length: int


class SampleSpan(NamedTuple):
    """Where one written sample lies: the whole of it, and each part's content, as absolute offsets in the shard."""

    span: Span
    parts: Mapping[str, Span]


_span: Callable[[tuple[int, int]], Span] = partial(tuple.__new__, Span)
"""`Span` at half its cost, of which there are two for each small sample."""


def split_name(name: str) -> tuple[str, str, str]:
    """Split a member name into key, part and format: `p/7.seg.nii.gz` is `("p/7", "seg", "nii.gz")`.

    The key ends at the first dot after the last slash. A name with one extension only (`7.jpg`, as other packers
    write) has the extension as both part and format.

    Raises:
        FormatError: there is no dot to split at.
    """
    folder, slash, base = name.rpartition("/")
    stem, dot, rest = base.partition(".")
    if not dot or not stem or not rest:
        raise FormatError(f"member name without key.part.format: {name!r}")
    part, dot, form = rest.partition(".")
    return folder + slash + stem, part, form or part


def member_name(key: str, part: str, form: str) -> str:
    """The member name of a part, checked: the inverse of `split_name` for names with a part and a format."""
    try:
        ending = _ending(part, form)
    except FormatError as error:
        error.key = key
        raise
    return check_key(key) + ending


@lru_cache(maxsize=256)
def _ending(part: str, form: str) -> str:
    """What follows the key in a member's name."""
    if not _FORMAT.fullmatch(form):
        raise FormatError(f"not a format (file extension): {form!r}")
    return f".{check_part(part)}.{form}"


def encode_sample(key: str, parts: Iterable[tuple[str, str, bytes]], offset: int) -> tuple[bytes, SampleSpan]:
    """Encode one sample as tar blocks, in one string: `sample_pieces`, joined."""
    pieces, spans = sample_pieces(key, parts, offset)
    return b"".join(pieces), spans


def sample_pieces(key: str, parts: Iterable[tuple[str, str, bytes]], offset: int) -> tuple[list[bytes], SampleSpan]:
    """Encode one sample as tar blocks, of which no content is copied.

    Args:
        key: the sample's key.
        parts: `(part, format, content)` in the order they are to lie in the shard.
        offset: where in the shard the blocks will be written (bytes).

    Returns:
        The blocks, in pieces: each part's header, content and padding; and the spans of the sample and of each part's
        content.

    Raises:
        FormatError: a name is not allowed, a part is there twice, or there is no part at all.
    """
    pieces: list[bytes] = []
    spans: dict[str, Span] = {}
    at = offset
    for part, form, content in parts:
        if part in spans:
            raise FormatError(f"part {part!r} twice in one sample", key=key)
        length = len(content)
        header, padding = _header(member_name(key, part, form), length), bytes(-length % BLOCK)
        start = at + len(header)
        spans[part] = _span((start, length))
        pieces += (header, content, padding)
        at = start + length + len(padding)
    if not spans:
        raise FormatError("a sample without parts", key=key)
    return pieces, SampleSpan(_span((offset, at - offset)), spans)


def _header(name: str, size: int) -> bytes:
    """A member's header: what `tarfile` writes, at a tenth of its time where nothing needs a pax header."""
    path = name.encode()
    if len(path) > _LONGEST_PATH or size > _LARGEST_PLAIN:
        return _tarfile_header(name, size)
    digits = b"%011o" % size
    return _PLAIN % (path.ljust(_LONGEST_PATH, b"\0"), digits, _BLANK_SUM + sum(path + digits))


def _tarfile_header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")


_LONGEST_PATH = 100
_LARGEST_PLAIN = 0o77777777777
_BLANK = _tarfile_header("", 0)
_BLANK_SUM = sum(_BLANK[:124]) + sum(_BLANK[135:148]) + 8 * ord(" ") + sum(_BLANK[156:])
"""Of all bytes but the name and the size; POSIX counts the checksum itself as spaces."""
_PLAIN = b"".join((b"%b", _BLANK[100:124], b"%b", _BLANK[135:148], b"%06o\0 ", _BLANK[156:]))
"""A header without its name, its size in octal digits, and its checksum."""


def members(file: BinaryIO) -> Iterator[Member]:
    """The files of an archive, in order, from a seekable file.

    Raises:
        FormatError: the archive is cut short (also when the cut falls on a block boundary: an archive without its
            closing zero blocks is not whole), or is no tar at all.
    """
    size = file.seek(0, 2)
    file.seek(0)
    last = 0
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            for info in archive:
                if info.size < 0 or info.offset < last:
                    raise FormatError(f"damaged header of member {info.name!r}", offset=info.offset)
                last = info.offset_data + info.size + (-info.size % BLOCK)
                if last > size:
                    raise FormatError(f"archive cut short inside member {info.name!r}", offset=info.offset)
                if info.isreg():
                    yield Member(info.name, info.offset_data, info.size)
    except (tarfile.TarError, ValueError, OverflowError) as error:  # the latter two: absurd sizes in damaged headers
        raise FormatError(f"not a readable tar: {error}", offset=last) from error
    file.seek(last)
    if file.read(len(END)) != END:
        raise FormatError("archive cut short: the closing zero blocks are missing", offset=last)


def name_in_header(block: bytes) -> str | None:
    """The member name in one header block; None where that is no header, or may have the name cut short."""
    try:
        name = tarfile.TarInfo.frombuf(block, "utf-8", "strict").name
    except tarfile.HeaderError:
        return None
    return name if len(name.encode()) < _LONGEST_PATH else None


def part_format(span: memoryview, part: str) -> str:
    """The format of a part, from the member names in a sample's span; for parts whose samples differ in format.

    Raises:
        FormatError: the span holds no such part.
    """
    for member in members(io.BytesIO(bytes(span) + END)):
        _, name, form = split_name(member.name)
        if name == part:
            return form
    raise FormatError(f"the sample's span holds no part {part!r}")
