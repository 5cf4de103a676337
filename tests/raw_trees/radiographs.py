"""Radiographs and tables as raw folders have them: small JPEG, PNG and DICOM files, CSV and Excel tables."""

import csv
import gzip
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RLELossless, generate_uid

from ropeway.decoders.libraries import require

IDENTITY = {
    "PatientName": "Planted^Name",
    "PatientBirthDate": "19530405",
    "InstitutionName": "Planted Hospital",
    "StudyDate": "20010203",
}
"""What no packed sample may hold."""


def shades(number: int, height: int = 6, width: int = 5, most: int = 255) -> npt.NDArray[np.int64]:
    """A picture of its own for each number: values from 0 to `most`."""
    return (np.arange(height * width).reshape(height, width) * 7 + number * 13) % (most + 1)


def picture(path: Path, number: int, mode: str = "L") -> bytes:
    """An image file in the format that its suffix says; its bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = io.BytesIO()
    form = "PNG" if path.suffix.lower() == ".png" else "JPEG"
    Image.fromarray(shades(number).astype(np.uint8)).convert(mode).save(file, form)
    path.write_bytes(file.getvalue())
    return path.read_bytes()


def radiograph(
    path: Path, pixels: npt.NDArray[Any], *, bits: int, rle: bool = False, inverted: bool = False, **entries: Any
) -> npt.NDArray[Any]:
    """A DICOM file of one grey image; returns its pixels as MONOCHROME2, in which bright is dense."""
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.2"
    dataset.SOPInstanceUID = instance(path.name)
    for name, value in {**IDENTITY, **entries}.items():
        setattr(dataset, name, value)
    photometric = "MONOCHROME1" if inverted else "MONOCHROME2"
    dataset.set_pixel_data(pixels, photometric, bits, generate_instance_uid=False)
    if rle:
        dataset.compress(RLELossless, generate_instance_uid=False)
    dataset.save_as(path, enforce_file_format=True)
    return 2**bits - 1 - pixels if inverted else pixels


def instance(name: str) -> str:
    """A DICOM UID that depends on nothing but a name."""
    return str(generate_uid(entropy_srcs=[name]))


def code(value: str, meaning: str) -> list[Dataset]:
    """A DICOM code sequence of one SNOMED CT code."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", meaning
    return [item]


def table(path: Path, columns: Sequence[str], rows: Sequence[Sequence[object]], delimiter: str = ",") -> None:
    """A delimited table, gzipped where its name says so; None is an empty cell."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = io.StringIO()
    writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    content = file.getvalue().encode()
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def sheet(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """An Excel workbook of one sheet."""
    book = require("openpyxl", "excel").Workbook(write_only=True)
    page = book.create_sheet()
    page.append(list(rows[0]))
    for row in rows:
        page.append(list(row.values()))
    book.save(path)
