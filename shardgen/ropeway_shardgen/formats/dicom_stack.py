"""Slices of one DICOM series put in order by where they lie, and refused where they are not one even stack."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ropeway.decoders.dicom import quiet
from ropeway.decoders.libraries import require
from ropeway_shardgen.formats.dicom_file import opened
from ropeway_shardgen.formats.geometry import from_lps

_SAME = 1e-3
"""Millimetres, and differences of direction cosines, that are rounding."""
_COMMON = {
    "SeriesInstanceUID": "series",
    "Rows": "height",
    "Columns": "width",
    "BitsAllocated": "bits",
    "PixelRepresentation": "sign",
    "RescaleSlope": "slope",
    "RescaleIntercept": "intercept",
    "PixelSpacing": "pixel spacing",
}
"""What all slices must have in common, and how it is called in errors (values may name a person, so none is told)."""


@dataclass(frozen=True, slots=True)
class Stack:
    """A series in order.

    Attributes:
        files: of the slices, from the lowest place along the normal to the highest.
        instances: their SOP instance UIDs.
        first: header of the first slice, without pixels.
        spacing: mm between slices; None for a single one.
        affine: index (slice, row, column) → mm, RAS.
    """

    files: tuple[Path, ...]
    instances: tuple[str, ...]
    first: Any
    spacing: float | None
    affine: npt.NDArray[np.float64]


def stacked(files: Sequence[Path], gap: float) -> Stack:
    """Put the slices of a series in order.

    Args:
        files: one slice each.
        gap: how far a step may be off the median step, as a fraction of it.

    Raises:
        ValueError: they are not one evenly spaced stack; the message names a file.
    """
    headers = [_header(file) for file in files]
    _check_common(files, headers)
    orientation = _numbers(headers[0], "ImageOrientationPatient", 6)
    along_row, along_column = orientation[:3], orientation[3:]
    normal = np.cross(along_row, along_column)
    positions = np.stack([_numbers(header, "ImagePositionPatient", 3) for header in headers])
    places = positions @ normal
    order = np.argsort(places, kind="stable")
    ordered = [files[place] for place in order]
    spacing = _spacing(ordered, places[order], gap)
    rows, columns = (float(side) for side in headers[0].PixelSpacing)
    last, first = positions[order[-1]], positions[order[0]]
    step = (last - first) / (len(files) - 1) if len(files) > 1 else normal
    steps = np.stack([step, along_column * rows, along_row * columns], axis=1)
    instances = tuple(str(headers[place].SOPInstanceUID) for place in order)
    return Stack(tuple(ordered), instances, headers[int(order[0])], spacing, from_lps(steps, first))


def _header(file: Path) -> Any:
    pydicom = require("pydicom", "dicom")
    try:
        with quiet():
            header = opened(file, pixels=False)
    except pydicom.errors.InvalidDicomError:
        raise ValueError(f"{file.name} is not a DICOM file") from None
    if "Rows" not in header or "ImagePositionPatient" not in header or "PixelSpacing" not in header:
        raise ValueError(f"{file.name} is not an image with a place: it lacks its rows, position or pixel spacing")
    if int(header.get("NumberOfFrames") or 1) > 1:
        raise ValueError(f"{file.name} has several frames: it is a volume of its own")
    if str(header.get("BurnedInAnnotation") or "").strip().upper() == "YES":
        raise ValueError(f"{file.name} has text burned into its pixels, as its header says")
    if "LOCALIZER" in (str(word).upper() for word in header.get("ImageType") or ()):
        raise ValueError(f"{file.name} is a localizer, not a slice of the volume")
    return header


def _check_common(files: Sequence[Path], headers: Sequence[Any]) -> None:
    first = headers[0]
    orientation = _numbers(first, "ImageOrientationPatient", 6)
    for file, header in zip(files, headers, strict=True):
        for tag, word in _COMMON.items():
            if header.get(tag) != first.get(tag):
                raise ValueError(f"{file.name} has another {word} than {files[0].name}")
        if np.abs(_numbers(header, "ImageOrientationPatient", 6) - orientation).max() > _SAME:
            raise ValueError(f"{file.name} has another orientation than {files[0].name}")


def _spacing(files: Sequence[Path], places: npt.NDArray[np.float64], gap: float) -> float | None:
    steps = np.diff(places)
    if not len(steps):
        return None
    if steps.min() <= _SAME:
        at = int(np.argmin(steps))
        raise ValueError(f"two slices at one place: {files[at].name} and {files[at + 1].name}")
    median = float(np.median(steps))
    off = np.abs(steps - median)
    if off.max() > gap * median:
        at = int(np.argmax(off))
        between = f"{files[at].name} and {files[at + 1].name}"
        raise ValueError(f"slices are missing or uneven: {steps[at]:.4g} mm between {between}, elsewhere {median:.4g}")
    return float(np.mean(steps))


def _numbers(header: Any, tag: str, length: int) -> npt.NDArray[np.float64]:
    values = header.get(tag)
    if values is None or len(values) != length:
        raise ValueError(f"a slice without {tag}")
    return np.array([float(value) for value in values])
