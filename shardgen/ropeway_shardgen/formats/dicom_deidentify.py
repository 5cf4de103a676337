"""The original DICOM file without identity: a new object of allowed elements only, its pixels as they were encoded.

Follows the Basic Application Level Confidentiality Profile of DICOM PS3.15 (Annex E) with an allow-list in place of its
list of removals (see `dicom_allowed.py`): names, dates, times, institutions, comments, private elements, overlays and
encapsulated documents are dropped, UIDs of objects are replaced by a keyed hash. Sex and age (at most 90) stay.
"""

import io
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from ropeway.decoders.dicom import quiet
from ropeway.decoders.libraries import require
from ropeway_shardgen.adapters.adapter import Payload
from ropeway_shardgen.formats import dicom_allowed as allowed
from ropeway_shardgen.formats import dicom_pixels
from ropeway_shardgen.formats.dicom_file import opened
from ropeway_shardgen.formats.dicom_header import AGE_CAP
from ropeway_shardgen.pseudonyms import uid

METHOD = "Ropeway: allow-list after the DICOM PS3.15 Basic Profile"
_PROFILE = (
    ("113100", "Basic Application Confidentiality Profile"),
    ("113108", "Retain Patient Characteristics Option"),
)
"""DICOM PS3.16, CID 7050."""

_STANDARD = "1.2.840.10008."
_CODE = re.compile(r"[A-Za-z0-9_ ./^-]{1,16}")
_AGE = re.compile(r"(\d{3})([DWMY])")
_WORD = re.compile(r"[^\W_]{3,}")
_TELLING = frozenset((
    "AccessionNumber", "InstitutionAddress", "InstitutionName", "InstitutionalDepartmentName", "IssuerOfPatientID",
    "MedicalRecordLocator", "OtherPatientIDs", "PatientAddress", "PatientID", "PatientTelephoneNumbers", "StationName",
))  # fmt: skip
"""Elements, beside all names, whose words must not turn up in what is kept."""


def kept(path: Path, key: bytes) -> Payload:
    """A file rewritten without identity.

    Args:
        path: the file.
        key: keys the hash that replaces UIDs.

    Raises:
        ValueError: it is not DICOM, of a private class, or hides an overlay in the unused bits of its pixels.
    """
    with quiet():
        dataset = opened(path)
        return Payload(content=deidentified(dataset, key), format="dcm")


def deidentified(dataset: Any, key: bytes) -> bytes:
    """A data set as a file without identity; see `kept`."""
    pydicom = require("pydicom", "dicom")
    _check(dataset)
    new = _allowed(dataset, key, frozenset(_telling(dataset)))
    for keyword in allowed.EMPTIED:
        setattr(new, keyword, "")
    new.SpecificCharacterSet = "ISO_IR 192"
    new.PatientIdentityRemoved, new.DeidentificationMethod = "YES", METHOD
    new.DeidentificationMethodCodeSequence = [_code(*code) for code in _PROFILE]
    new.LongitudinalTemporalInformationModified = "REMOVED"
    new.file_meta = pydicom.dataset.FileMetaDataset()
    new.file_meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
    new.file_meta.ImplementationVersionName = "ROPEWAY"
    file = io.BytesIO()
    new.save_as(file, enforce_file_format=True)
    return file.getvalue()


def _check(dataset: Any) -> None:
    if not str(dataset.get("SOPClassUID", "")).startswith(_STANDARD):
        raise ValueError("an object of a private class: nobody knows what is in it")
    for group in range(0x6000, 0x6100, 2):
        if (group, 0x0010) in dataset and (group, 0x3000) not in dataset:
            raise ValueError("an overlay in the unused bits of the pixels, which may show a name: it cannot be kept")


def _allowed(dataset: Any, key: bytes, telling: frozenset[str]) -> Any:
    new = require("pydicom", "dicom").Dataset()
    for tag in list(dataset.keys()):
        element = _element(dataset, tag)
        if element is None:
            continue
        if element.keyword in allowed.SEQUENCES and element.VR == "SQ":
            inner = [_allowed(one, key, telling) for one in element.value or ()]
            new.add_new(element.tag, "SQ", inner)
        elif element.keyword in allowed.PIXELS and element.value is not None:
            new.add_new(element.tag, element.VR, dicom_pixels.blanked(dataset, element))
            new[element.tag].is_undefined_length = element.is_undefined_length
        elif (value := _value(element, key, telling)) is not None:
            new.add_new(element.tag, element.VR, value)
            new[element.tag].is_undefined_length = element.is_undefined_length
    return new


def _element(dataset: Any, tag: Any) -> Any:
    """An element whose type is what the standard says; None where it is another, or its value is not of its type.

    Such an element could hold anything, and no picture needs it.
    """
    dictionary = require("pydicom.datadict", "dicom")
    if tag.is_private or not dictionary.dictionary_has_tag(tag):
        return None
    try:
        element = dataset[tag]
    except (ValueError, TypeError, KeyError, OverflowError, NotImplementedError):
        return None
    kind = dictionary.dictionary_VR(tag)
    return element if element.VR in (kind, *kind.split(" or ")) else None


def _value(element: Any, key: bytes, telling: frozenset[str]) -> Any:
    """What is kept of an element; None: nothing."""
    name, value = element.keyword, element.value
    if name in allowed.CONTENTS or (name in allowed.NUMBERS and _is_number(element)):
        return value
    if value is None or value == "":
        return None
    if name in allowed.REMAPPED:
        return uid(str(value), key)
    if name in allowed.CLASSES:
        return value if str(value).startswith(_STANDARD) else None
    if name in allowed.AGES:
        return _age(str(value))
    texts = [str(one) for one in value] if element.VM > 1 else [str(value)]
    plain = name in allowed.TEXTS or (name in allowed.CODES and all(map(_CODE.fullmatch, filter(None, texts))))
    return value if plain and not any(_words(text) & telling for text in texts) else None


def _is_number(element: Any) -> bool:
    """Whether all values are numbers, or bytes whose sign other elements tell."""
    values = [element.value] if element.VM < 2 else element.value
    return all(isinstance(one, int | float | Decimal | (bytes if " or " in element.VR else int)) for one in values)


def _age(text: str) -> str | None:
    match = _AGE.fullmatch(text)
    if match is None:
        return None
    return f"{min(int(match[1]), AGE_CAP):03}Y" if match[2] == "Y" else text


def _telling(dataset: Any) -> Iterator[str]:
    """Words of three or more letters or digits of the elements that identify, however deep."""
    for tag in list(dataset.keys()):
        element = _element(dataset, tag)
        if element is None:
            continue
        if element.VR == "SQ":
            for inner in element.value or ():
                yield from _telling(inner)
        elif element.VR == "PN" or element.keyword in _TELLING:
            yield from _words(str(element.value))


def _words(text: str) -> set[str]:
    return {word.casefold() for word in _WORD.findall(text)}


def _code(value: str, meaning: str) -> Any:
    code = require("pydicom", "dicom").Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, "DCM", meaning
    return code
