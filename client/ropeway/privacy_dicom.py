"""What a stored DICOM object still says of a person, read without the packer's allow-list: a check of it."""

import io
from collections.abc import Iterator
from typing import Any

from ropeway.decoders.dicom import quiet
from ropeway.decoders.libraries import require
from ropeway.privacy_words import Words, jpeg_segments, printable

_RULES = {"PN": "person's name", "DA": "date", "DT": "date"}
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData", "WaveformData")
_SOFTWARE = ("ImplementationClassUID", "SOPClassUID", "MediaStorageSOPClassUID", "TransferSyntaxUID")
"""UIDs that name software or a kind of object, never one object."""


def dicom(content: bytes) -> Iterator[Words]:
    """Text of every element, however deep, and of the heads of compressed frames; names, dates, private and overlay
    groups are findings by themselves.

    Raises:
        ValueError: it is no DICOM object.
    """
    pydicom = require("pydicom", "dicom")
    with quiet():
        try:
            dataset = pydicom.dcmread(io.BytesIO(content))
        except pydicom.errors.InvalidDicomError as error:
            raise ValueError("not a DICOM object") from error
        yield from printable("preamble", bytes(dataset.preamble or b""))
        for part in (dataset.file_meta, dataset):
            yield from _elements(part)
        if str(dataset.get("BurnedInAnnotation", "")).upper() == "YES":
            yield Words("BurnedInAnnotation", "YES", "burned-in text")


def _elements(dataset: Any) -> Iterator[Words]:
    for element in dataset:
        place = element.keyword or f"({element.tag.group:04x},{element.tag.element:04x})"
        if element.tag.is_private:
            yield Words(place, "", "private element")
        elif 0x6000 <= element.tag.group <= 0x60FF:
            yield Words(place, "", "overlay")
        if element.VR == "SQ":
            for inner in element.value or ():
                yield from _elements(inner)
        elif element.keyword in _SOFTWARE:
            continue
        elif element.keyword in _PIXELS:
            yield from _frames(element)
        else:
            yield from _values(place, element)


def _values(place: str, element: Any) -> Iterator[Words]:
    several = element.value if element.VM > 1 else [element.value]
    for value in several:
        if isinstance(value, bytes):
            yield from printable(place, value)
        elif text := str("" if value is None else value).strip():
            rule = "date of birth" if "BirthDate" in place else _RULES.get(element.VR, "")
            yield Words(place, text, rule or _old(text, element.VR))


def _old(text: str, kind: str) -> str:
    return "age over 90" if kind == "AS" and text.endswith("Y") and text[:-1].isdigit() and int(text[:-1]) > 90 else ""


def _frames(element: Any) -> Iterator[Words]:
    """Comments and application segments of compressed frames."""
    if not element.is_undefined_length:
        return
    encapsulation = require("pydicom.encaps", "dicom")
    for fragment in encapsulation.generate_fragments(element.value):
        if fragment[:2] in (b"\xff\xd8", b"\xff\x4f"):
            for marker, payload in jpeg_segments(fragment):
                if marker in (0xFE, 0x64) or 0xE0 <= marker <= 0xEF:
                    yield from printable("compressed frame", payload)
