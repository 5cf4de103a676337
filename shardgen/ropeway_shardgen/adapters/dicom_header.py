"""What may leave a DICOM header: an allow-list of technical and coarse demographic entries, as fields.

Names, dates, institutions, comments, private groups and everything else that is not here never gets past this module.
The identifiers (patient, study, series, instance) are only ever an input to pseudonyms.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ropeway.index import Value

IDENTIFIERS = ("patient", "study", "series", "instance")
AGE_CAP = 90
"""Years. Ages above it are given as it: few people are that old, so an age would point at one."""

_TEXTS = {
    "modality": "Modality",
    "manufacturer": "Manufacturer",
    "body_part": "BodyPartExamined",
    "photometric": "PhotometricInterpretation",
    "view": "ViewPosition",
    "laterality": "ImageLaterality",
    "burned_in": "BurnedInAnnotation",
}
_WHOLE = {"rows": "Rows", "columns": "Columns", "bits_stored": "BitsStored"}
_NUMBERS = {
    "slope": "RescaleSlope",
    "intercept": "RescaleIntercept",
    "slice_thickness": "SliceThickness",
    "frame_time": "FrameTime",
}
_FIRST_NUMBERS = {"window_center": "WindowCenter", "window_width": "WindowWidth"}
_UIDS = {"study": "StudyInstanceUID", "series": "SeriesInstanceUID", "instance": "SOPInstanceUID"}
_YEARS = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}


@contextmanager
def quiet() -> Iterator[None]:
    """Silence pydicom's warnings, on its logger too: they quote header values. What is really wrong, it raises."""
    logger = logging.getLogger("pydicom")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def header_fields(dataset: Any) -> dict[str, Value]:
    """The allowed entries of a header, in our own words; what it lacks is None.

    `frames` is a count; `window_center` and `window_width` are the first of several; `pixel_spacing_row` and
    `pixel_spacing_column` are millimetres, `frame_time` milliseconds, `age` whole years, at most 90.
    """
    fields: dict[str, Value] = {name: _text(dataset, tag) for name, tag in _TEXTS.items()}
    fields |= {name: _whole(dataset, tag) for name, tag in _WHOLE.items()}
    fields |= {name: _number(dataset, tag, 0) for name, tag in (_NUMBERS | _FIRST_NUMBERS).items()}
    fields["frames"] = _whole(dataset, "NumberOfFrames") or 1
    fields["pixel_spacing_row"] = _number(dataset, "PixelSpacing", 0)
    fields["pixel_spacing_column"] = _number(dataset, "PixelSpacing", 1)
    sex = _text(dataset, "PatientSex")
    fields["sex"] = sex if sex in ("M", "F", "O") else None
    fields["age"] = _age(_text(dataset, "PatientAge"))
    return fields


def identifiers(dataset: Any) -> dict[str, Value]:
    """Raw identifiers, for pseudonyms and nothing else."""
    return {"patient": _text(dataset, "PatientID"), **{name: _text(dataset, tag) for name, tag in _UIDS.items()}}


def _text(dataset: Any, tag: str) -> str | None:
    value = str(dataset.get(tag, "") or "").strip()
    return value or None


def _values(dataset: Any, tag: str) -> list[Any]:
    value = dataset.get(tag)
    if value is None or value == "":
        return []
    return list(value) if hasattr(value, "__iter__") and not isinstance(value, str) else [value]


def _number(dataset: Any, tag: str, place: int) -> float | None:
    values = _values(dataset, tag)
    return float(values[place]) if place < len(values) else None


def _whole(dataset: Any, tag: str) -> int | None:
    value = _number(dataset, tag, 0)
    return None if value is None else int(value)


def _age(text: str | None) -> int | None:
    if text is None or not text[:-1].isdigit() or text[-1] not in _YEARS:
        return None
    return min(int(int(text[:-1]) * _YEARS[text[-1]]), AGE_CAP)
