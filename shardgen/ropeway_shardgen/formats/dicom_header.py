"""What may leave a DICOM header: an allow-list of technical and coarse demographic entries, as fields.

Names, dates, institutions, comments, private groups and everything else that is not here never gets past this module.
The identifiers (patient, study, series, instance) are only ever an input to pseudonyms.
"""

from typing import Any

from ropeway.index import Value
from ropeway_shardgen.formats import dicom_burned_in

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
    "intent": "PresentationIntentType",
    "presentation_lut": "PresentationLUTShape",
    "voi_function": "VOILUTFunction",
}
_WHOLE = {"rows": "Rows", "columns": "Columns", "bits_stored": "BitsStored", "padding": "PixelPaddingValue"}
_NUMBERS = {
    "slope": "RescaleSlope",
    "intercept": "RescaleIntercept",
    "slice_thickness": "SliceThickness",
    "frame_time": "FrameTime",
}
_FIRST_NUMBERS = {"window_center": "WindowCenter", "window_width": "WindowWidth"}
_UIDS = {"study": "StudyInstanceUID", "series": "SeriesInstanceUID", "instance": "SOPInstanceUID"}
_VIEW_CODES = {"399162004": "CC", "R-10242": "CC", "399368009": "MLO", "R-10226": "MLO"}
"""View codes of mammograms, SNOMED CT and the older SNM3 (PS3.16, CID 4014), that say more than `ViewPosition` has."""
_YEARS = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}


def header_fields(dataset: Any) -> dict[str, Value]:
    """The allowed entries of a header, in our own words; what it lacks is None.

    `frames` is a count; `window_center` and `window_width` are the first of several; `pixel_spacing_row` and
    `pixel_spacing_column` are millimetres in the patient, `imager_spacing_…` at the detector; `frame_time` is
    milliseconds, `age` whole years, at most 90. `view` and `laterality` are given whichever way the header says them;
    `patient_orientation` is the directions of a row and a column, such as `A\\F`; `padding` is a stored value.
    `burned_in` is the header's flag for text in the pixels; `burned_in_sign` says in words what speaks for some.
    """
    fields: dict[str, Value] = {name: _text(dataset, tag) for name, tag in _TEXTS.items()}
    fields |= {name: _whole(dataset, tag) for name, tag in _WHOLE.items()}
    fields |= {name: _number(dataset, tag, 0) for name, tag in (_NUMBERS | _FIRST_NUMBERS).items()}
    fields["frames"] = _whole(dataset, "NumberOfFrames") or 1
    for name, tag in (("pixel_spacing", "PixelSpacing"), ("imager_spacing", "ImagerPixelSpacing")):
        fields[f"{name}_row"], fields[f"{name}_column"] = _number(dataset, tag, 0), _number(dataset, tag, 1)
    fields["slice_position"] = _slice_position(dataset)
    fields["patient_orientation"] = "\\".join(map(str, _values(dataset, "PatientOrientation"))) or None
    fields["view"] = fields["view"] or _coded_view(dataset)
    fields["laterality"] = fields["laterality"] or _text(dataset, "Laterality")
    fields["burned_in_sign"] = dicom_burned_in.sign(dataset)
    sex = _text(dataset, "PatientSex")
    fields["sex"] = sex if sex in ("M", "F", "O") else None
    fields["age"] = _age(_text(dataset, "PatientAge"))
    return fields


def identifiers(dataset: Any) -> dict[str, Value]:
    """Raw identifiers, for pseudonyms and nothing else."""
    return {"patient": _text(dataset, "PatientID"), **{name: _text(dataset, tag) for name, tag in _UIDS.items()}}


def _coded_view(dataset: Any) -> str | None:
    codes = (_text(code, "CodeValue") for code in dataset.get("ViewCodeSequence") or ())
    return next((_VIEW_CODES[code] for code in codes if code in _VIEW_CODES), None)


def _slice_position(dataset: Any) -> float | None:
    """Millimetres along the normal of a slice, which grow to the head for axial ones (PS3.3, C.7.6.2)."""
    position, directions = _values(dataset, "ImagePositionPatient"), _values(dataset, "ImageOrientationPatient")
    if len(position) != 3 or len(directions) != 6:
        return None
    (a, b, c), (d, e, f) = ([float(value) for value in part] for part in (directions[:3], directions[3:]))
    normal = (b * f - c * e, c * d - a * f, a * e - b * d)
    return round(sum(float(at) * along for at, along in zip(position, normal, strict=True)), 4)


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
