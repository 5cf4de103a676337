"""DICOM images of every transfer syntax that pydicom's decoders know, as arrays of stored values.

Rescale and window stay metadata, as the file has them. Colour is always RGB: YBR and palette images are converted by
pydicom's own functions.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from ropeway.decoders.dicom import quiet
from ropeway.decoders.libraries import require
from ropeway.index import Value
from ropeway_shardgen.adapters.adapter import Adapter, Options, Payload, Row, array_payload
from ropeway_shardgen.fields import Fields
from ropeway_shardgen.formats import dicom_burned_in, dicom_deidentify
from ropeway_shardgen.formats.dicom_burned_in import BurnedIn
from ropeway_shardgen.formats.dicom_file import check_size, decoded_bytes, opened
from ropeway_shardgen.formats.dicom_header import IDENTIFIERS, header_fields, identifiers
from ropeway_shardgen.formats.dicom_values import turned_fields, turned_round
from ropeway_shardgen.formats.hounsfield import Values, in_hounsfield


class DicomOptions(Options, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What to make of stored values, and of images that may show text."""

    photometric: Literal["stored", "monochrome2"] = "stored"
    """`monochrome2`: bright is dense in every radiograph; MONOCHROME1 values are turned round, which loses nothing, and
    their window and padding with them. `photometric` stays what the file says."""
    values: Values = "stored"
    """`hounsfield`: int16 Hounsfield units, for CT; `slope` and `intercept` stay what the file says."""
    burned_in: BurnedIn = "refuse"
    """What happens to images that may show text in their pixels; see `formats.dicom_burned_in`."""


def rows(path: Path, options: DicomOptions) -> Iterator[Row]:
    """One row: the allowed header entries, and the identifiers for pseudonyms."""
    with quiet():
        dataset = opened(path, pixels=False)
        row = Row({**_header(dataset, options), **identifiers(dataset)}, decoded_bytes(dataset))
    yield row


def read(path: Path, _fields: Fields, options: DicomOptions) -> Payload:
    """Pixels ([frame,] height, width[, channel]) in the dtype the decoder gives, or as the options ask.

    Raises:
        SampleError: text may be burned into the pixels, or is found there, and the recipe does not allow it.
        ValueError: there are no pixels, the file is cut short or in a syntax no installed decoder reads, or its values
            are not fit for what the options ask.
    """
    pixels = require("pydicom.pixels", "dicom")
    with quiet():
        dataset = opened(path)
        if "PixelData" not in dataset:
            raise ValueError("a DICOM object without pixels")
        dicom_burned_in.check(dataset, options.burned_in)
        check_size(dataset, path.stat().st_size)
        array = pixels.pixel_array(dataset)
        colour = int(dataset.get("SamplesPerPixel", 1)) > 1
        if dataset.get("PhotometricInterpretation") == "PALETTE COLOR":
            array, colour = pixels.apply_color_lut(array, dataset), True
        dicom_burned_in.look(array, options.burned_in)
        if _turns(dataset, options):
            array = turned_round(array, int(dataset.BitsStored))
        fields = _header(dataset, options)
    axes = (("frame",) if array.ndim - colour == 3 else ()) + ("height", "width") + (("channel",) if colour else ())
    if options.values == "hounsfield":
        return array_payload(in_hounsfield(array, fields), axes, units="HU", fields=fields)
    return array_payload(array, axes, channels=("red", "green", "blue") if colour else (), fields=fields)


def _turns(dataset: Any, options: DicomOptions) -> bool:
    return options.photometric == "monochrome2" and dataset.get("PhotometricInterpretation") == "MONOCHROME1"


def _header(dataset: Any, options: DicomOptions) -> dict[str, Value]:
    fields = header_fields(dataset)
    return turned_fields(fields, int(dataset.get("BitsStored") or 0)) if _turns(dataset, options) else fields


ADAPTER = Adapter(
    options=DicomOptions,
    read=read,
    rows=rows,
    identifiers=IDENTIFIERS,
    raw=lambda path, key, _: dicom_deidentify.kept(path, key),
)
