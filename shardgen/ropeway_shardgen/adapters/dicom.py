"""DICOM images of every transfer syntax that pydicom's decoders know, as arrays of stored values.

Rescale and window stay metadata. Colour is always RGB: YBR and palette images are converted by pydicom's own functions.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ropeway.decoders.libraries import require
from ropeway_shardgen.adapters.adapter import Adapter, Options, Payload, Row, array_payload
from ropeway_shardgen.adapters.dicom_header import IDENTIFIERS, header_fields, identifiers, quiet
from ropeway_shardgen.fields import Fields


class DicomOptions(Options, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """DICOM images need no telling."""


def rows(path: Path, _options: DicomOptions) -> Iterator[Row]:
    """One row: the allowed header entries, and the identifiers for pseudonyms."""
    with quiet():
        dataset = require("pydicom", "dicom").dcmread(path, stop_before_pixels=True)
        row = Row({**header_fields(dataset), **identifiers(dataset)}, _decoded_bytes(dataset))
    yield row


def read(path: Path, _fields: Fields, _options: DicomOptions) -> Payload:
    """Pixels as stored: ([frame,] height, width[, channel]), in the dtype the decoder gives.

    Raises:
        ValueError: there are no pixels, or the file is cut short or in a syntax no installed decoder reads.
    """
    pydicom, pixels = require("pydicom", "dicom"), require("pydicom.pixels", "dicom")
    with quiet():
        dataset = pydicom.dcmread(path)
        if "PixelData" not in dataset:
            raise ValueError("a DICOM object without pixels")
        array = pixels.pixel_array(dataset)
        colour = int(dataset.get("SamplesPerPixel", 1)) > 1
        if dataset.get("PhotometricInterpretation") == "PALETTE COLOR":
            array, colour = pixels.apply_color_lut(array, dataset), True
        fields = header_fields(dataset)
    axes = (("frame",) if array.ndim - colour == 3 else ()) + ("height", "width") + (("channel",) if colour else ())
    return array_payload(array, axes, channels=("red", "green", "blue") if colour else (), fields=fields)


def _decoded_bytes(dataset: Any) -> int | None:
    sides = [int(dataset.get(tag) or 1) for tag in ("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel")]
    bits = int(dataset.get("BitsAllocated") or 8)
    size = max(1, bits // 8)
    for side in sides:
        size *= side
    return size


ADAPTER = Adapter(options=DicomOptions, read=read, rows=rows, identifiers=IDENTIFIERS)
