"""Where text hides in the files that samples are made of: headers, comments, tags, and whatever follows the content.

What is decoded to pixels, voxels or values is not text and is left alone: what is burned into a picture no reading of
bytes finds. Formats that are not known here are searched for runs of printable characters.
"""

import gzip
import io
import json
import re
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgpack
import numpy as np
from PIL import ExifTags, Image

from ropeway.decode import VIDEOS
from ropeway.decoders.libraries import damage, require
from ropeway.decoders.wfdb_annotations import ANNOTATORS
from ropeway.privacy_arrays import hdf5, matlab, metaimage
from ropeway.privacy_dicom import dicom
from ropeway.privacy_rules import decoded
from ropeway.privacy_signals import edf, wfdb_annotations
from ropeway.privacy_words import Words, jpeg_segments, printable

_LARGEST = 1 << 24
"""Bytes of text that a compressed header may become."""
_LARGEST_FILE = 1 << 32
"""Bytes of a file in an archive."""
_SIGNALS = ("dat",)
"""Files of WFDB records that hold nothing but numbers."""
_DAMAGE = (zipfile.BadZipFile, msgpack.UnpackException, Image.DecompressionBombError, UserWarning)
_LABELS = re.compile(
    r"(?i)(?:patient|person|subject)[ _-]?name|(?:birth[ _-]?date|date[ _-]?of[ _-]?birth|dob)|ssn|mrn"
)


def texts(form: str, content: memoryview) -> Iterator[Words]:
    """All text in a part's content.

    Args:
        form: the part's format, which is its file name's extension.
        content: the part's bytes.
    """
    read = _READERS.get(form.lower(), _unknown)
    try:
        with damage(*_DAMAGE), warnings.catch_warnings(), _of_any_size():
            warnings.simplefilter("error", UserWarning)  # PIL warns of tags that it cannot read
            found = list(read(bytes(content)))
    except (ValueError, OSError):
        found = [Words("content", form, "not readable"), *_unknown(bytes(content))]
    yield from found


@contextmanager
def _of_any_size() -> Iterator[None]:
    """PIL refuses to open a slide for the pixels that it would have: only its tags are read here."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _unknown(content: bytes) -> Iterator[Words]:
    return (words._replace(noise=True) for words in printable("content", content))


def _text(content: bytes) -> Iterator[Words]:
    yield Words("text", decoded(content))


def _json(content: bytes) -> Iterator[Words]:
    yield from _strings("", json.loads(content))


def _msgpack(content: bytes) -> Iterator[Words]:
    yield from _strings("", msgpack.unpackb(content, strict_map_key=False))


def _strings(place: str, value: Any) -> Iterator[Words]:
    match value:
        case str() if value:
            rule = "labelled field" if _LABELS.fullmatch(place.rpartition(".")[2]) else ""
            yield Words(place, value, rule)
        case bytes():
            yield from printable(place, value)
        case int() if not isinstance(value, bool):
            yield Words(place, str(value))
        case dict():
            for name, inner in value.items():
                yield Words(place, str(name))
                yield from _strings(f"{place}.{name}".lstrip("."), inner)
        case list():
            for inner in value:
                yield from _strings(place, inner)


def _npy(content: bytes) -> Iterator[Words]:
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    heads = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in heads or heads[version](file)[2].kind in "US":
        yield from _array("array", np.load(io.BytesIO(content), allow_pickle=False))


def _npz(content: bytes) -> Iterator[Words]:
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        for name, array in arrays.items():
            yield Words("names", name)
            yield from _array(name, array)


def _array(name: str, array: np.ndarray[Any, Any]) -> Iterator[Words]:
    if array.dtype.kind in "US":
        for value in array.ravel():
            yield Words(name, decoded(value) if isinstance(value, bytes) else str(value))


def _jpeg(content: bytes) -> Iterator[Words]:
    """Segments up to the picture itself, and what stands behind its end."""
    for marker, payload in jpeg_segments(content):
        if payload.startswith(b"Exif\0\0"):
            yield from _exif(payload)
        elif marker == 0xFE or 0xE0 <= marker <= 0xEF:
            yield from printable("comment" if marker == 0xFE else f"segment APP{marker - 0xE0}", payload)
    end = content.rfind(b"\xff\xd9")
    if content[:2] != b"\xff\xd8" or end < 0:
        raise ValueError("not a whole JPEG")
    yield from printable("after the picture", content[end + 2 :])


def _png(content: bytes) -> Iterator[Words]:
    at, name = 8, b""
    while name != b"IEND":
        size, name = struct.unpack_from(">I4s", content, at)
        payload = content[at + 8 : at + 8 + size]
        if name == b"eXIf":
            yield from _exif(payload)
        elif name in (b"zTXt", b"iTXt", b"tEXt"):
            yield from _png_text(name, payload)
        elif name != b"IDAT":
            yield from printable(f"chunk {name.decode('latin-1')}", payload)
        at += 12 + size
    yield from printable("after the picture", content[at:])


def _png_text(name: bytes, payload: bytes) -> Iterator[Words]:
    word, _, rest = payload.partition(b"\0")
    yield Words("text chunk", decoded(word))
    packed = name == b"zTXt" or (name == b"iTXt" and rest[:1] == b"\1")
    if name == b"iTXt":
        language, _, rest = rest[2:].partition(b"\0")
        translated, _, rest = rest.partition(b"\0")
        yield Words("text chunk", decoded(language + b" " + translated))
    rest = zlib.decompressobj().decompress(rest[name == b"zTXt" :], _LARGEST) if packed else rest
    yield Words(f"text chunk {decoded(word)}", decoded(rest))


def _exif(content: bytes) -> Iterator[Words]:
    tags = Image.Exif()
    tags.load(content)
    yield from _tags(tags)


def _tags(tags: Image.Exif) -> Iterator[Words]:
    if tags.get_ifd(ExifTags.IFD.GPSInfo):
        yield Words("EXIF", "GPS", "place on earth")
    own = {tag: value for tag, value in tags.items() if tag not in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)}
    for tag, value in {**own, **tags.get_ifd(ExifTags.IFD.Exif)}.items():
        place = f"EXIF {ExifTags.TAGS.get(tag, hex(tag))}"
        if isinstance(value, bytes):
            yield from printable(place, value)
        elif isinstance(value, str):
            yield Words(place, value)


def _archive(content: bytes) -> Iterator[Words]:
    """A zip: its comment, and name and text of each file."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        yield from printable("archive comment", archive.comment)
        for entry in archive.infolist():
            yield Words("names", entry.filename)
            yield from printable("names", entry.comment + entry.extra)
            if entry.file_size > _LARGEST_FILE:
                raise ValueError(f"a file of {entry.file_size} bytes in an archive")
            form = entry.filename.rpartition(".")[2].lower()
            for words in texts(form, memoryview(archive.read(entry))) if form not in _SIGNALS else ():
                yield words._replace(place=f"{entry.filename}, {words.place}")


def _tiff(content: bytes) -> Iterator[Words]:
    """The tags, heads of compressed pixels, and all that is no pixels, such as further pages and unlinked tags."""
    yield from _picture(content)
    rest = bytearray(content)
    opened: Any = Image.open(io.BytesIO(content), formats=["TIFF"])
    with opened as image:
        for page in range(image.n_frames):
            image.seek(page)
            for starts, sizes in ((273, 279), (324, 325)):
                for start, size in zip(image.tag_v2.get(starts, ()), image.tag_v2.get(sizes, ()), strict=True):
                    if content[start : start + 2] in (b"\xff\xd8", b"\xff\x4f"):
                        yield from _compressed(content[start : start + size])
                    rest[start : start + size] = bytes(len(rest[start : start + size]))
    yield from (words._replace(noise=True) for words in printable("beside the pixels", bytes(rest)))


def _compressed(tile: bytes) -> Iterator[Words]:
    for marker, payload in jpeg_segments(tile):
        if marker in (0xFE, 0x64) or 0xE0 <= marker <= 0xEF:
            yield from printable("compressed pixels", payload)


def _picture(content: bytes) -> Iterator[Words]:
    """TIFF, WebP and BMP: their tags, and texts that PIL gives apart."""
    with Image.open(io.BytesIO(content)) as image:
        yield from _tags(image.getexif())
        for name, value in image.info.items():
            if isinstance(value, str | bytes) and name != "exif":
                yield from printable(str(name), value.encode() if isinstance(value, str) else value)


def _nifti(content: bytes) -> Iterator[Words]:
    if content[:2] == b"\x1f\x8b":
        yield from printable("gzip header", content[3:512].partition(b"\0\0")[0] if content[3] & 0x18 else b"")
        with gzip.open(io.BytesIO(content)) as file:
            content = file.read(_LARGEST)
    order = "<" if struct.unpack_from("<i", content)[0] in (348, 540) else ">"
    size = struct.unpack_from(f"{order}i", content)[0]
    if size not in (348, 540):
        raise ValueError("not a NIfTI header")
    start = (
        struct.unpack_from(f"{order}f", content, 108)[0]
        if size == 348
        else struct.unpack_from(f"{order}q", content, 168)[0]
    )
    yield from printable("header", content[:size])
    if content[size : size + 1] not in (b"", b"\0"):
        yield from printable("header extension", content[size + 4 : max(size + 4, min(int(start), len(content)))])


def _video(content: bytes) -> Iterator[Words]:
    av = require("av", "video")
    with damage(av.FFmpegError), av.open(io.BytesIO(content)) as container:
        for place, tags in (("container", container.metadata), *((s.type, s.metadata) for s in container.streams)):
            for name, value in tags.items():
                yield Words(f"{place} tag {name}", value)


_READERS: Mapping[str, Callable[[bytes], Iterator[Words]]] = {
    **dict.fromkeys(("txt", "csv", "tsv", "md", "xml", "html", "hea"), _text),
    "json": _json, "msgpack": _msgpack, "npy": _npy, "npz": _npz,
    "jpg": _jpeg, "jpeg": _jpeg, "png": _png, **dict.fromkeys(("webp", "bmp"), _picture),
    **dict.fromkeys(("tif", "tiff", "slide.tif"), _tiff), **dict.fromkeys(("wfdb", "zip"), _archive),
    "mha": metaimage, "mat": matlab, "set": matlab, **dict.fromkeys(("h5ad", "h5", "hdf5"), hdf5),
    **dict.fromkeys(ANNOTATORS, wfdb_annotations),
    "dcm": dicom, "edf": edf, "bdf": edf, "nii": _nifti, "nii.gz": _nifti, **dict.fromkeys(VIDEOS, _video),
}  # fmt: skip
