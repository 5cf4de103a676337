"""Small volumes and videos in true formats, for tests of adapters and recipes."""

import csv
import io
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

Array = np.ndarray[Any, Any]
_TYPES = {"i2": "MET_SHORT", "u1": "MET_UCHAR"}


def metaimage(
    path: Path,
    voxels: Array,
    *,
    spacing: Sequence[float] = (1.0, 1.0, 1.0),
    origin: Sequence[float] = (0.0, 0.0, 0.0),
    big_endian: bool = False,
    compressed: bool = False,
    local: bool = False,
) -> Path:
    """Voxels [slice, row, column] as a MetaImage; its comment names a patient."""
    content = voxels.astype(voxels.dtype.newbyteorder(">" if big_endian else "<")).tobytes()
    if compressed:
        content = zlib.compress(content)
    data = path.with_suffix(".zraw" if compressed else ".raw")
    words = {
        "ObjectType": "Image",
        "NDims": "3",
        "Comment": "John Doe",
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": str(big_endian),
        "CompressedData": str(compressed),
        "TransformMatrix": "1 0 0 0 1 0 0 0 1",
        "Offset": " ".join(map(str, origin)),
        "ElementSpacing": " ".join(map(str, spacing)),
        "DimSize": " ".join(map(str, reversed(voxels.shape))),
        "ElementType": _TYPES[voxels.dtype.str[1:]],
        "ElementDataFile": "LOCAL" if local else data.name,
    }
    header = "".join(f"{key} = {value}\n" for key, value in words.items()).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(header + (content if local else b""))
    if not local:
        data.write_bytes(content)
    return path


def nifti(path: Path, voxels: Array, affine: Array | None = None) -> Path:
    """A NIfTI-1 file of these voxels in their own dtype."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kinds: Any = nibabel
    image = kinds.Nifti1Image(voxels, np.eye(4) if affine is None else affine)
    image.set_data_dtype(voxels.dtype)
    kinds.save(image, path)
    return path


def ct_slice(
    path: Path,
    pixels: Array,
    *,
    z: float = 0.0,
    number: int = 1,
    position: Sequence[float] | None = None,
    orientation: Sequence[float] = (1, 0, 0, 0, 1, 0),
    study: str = "1.2.1",
    series: str = "1.2.3",
    instance: str = "",
    slope: float = 1,
    patient: str = "Doe",
    kind: Sequence[str] = ("ORIGINAL", "PRIMARY", "AXIAL"),
) -> Path:
    """One CT slice of int16 pixels with a patient's name, sex and age."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = UID(instance or f"{series}.{abs(round(z * 100)) + 1}")
    dataset = FileDataset(path.name, {}, file_meta=meta, preamble=bytes(128))
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, series
    dataset.PatientName, dataset.PatientID, dataset.PatientSex, dataset.PatientAge = (
        f"{patient}^John",
        patient,
        "F",
        "061Y",
    )
    dataset.Modality, dataset.InstanceNumber, dataset.ImageType = "CT", number, list(kind)
    dataset.ImagePositionPatient = list((-100.0, -90.0, z) if position is None else position)
    dataset.ImageOrientationPatient = list(orientation)
    dataset.PixelSpacing, dataset.SliceThickness = [0.7, 0.6], 2.5
    dataset.RescaleSlope, dataset.RescaleIntercept = slope, -1024
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 1
    dataset.PixelData = pixels.astype("<i2").tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    file = io.BytesIO()
    pydicom.dcmwrite(file, dataset)
    path.write_bytes(file.getvalue())
    return path


def table(path: Path, rows: Iterable[Mapping[str, object]], delimiter: str = ",") -> None:
    """A delimited table whose columns are those of the first row."""
    rows = list(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)


def hounsfield(*shape: int, seed: int = 0) -> Array:
    """Noise in the range of CT, int16."""
    return np.random.default_rng(seed).integers(-1024, 2000, shape, np.int16)


def picture(path: Path, *shape: int, seed: int = 0) -> bytes:
    """A PNG or JPEG; its bytes."""
    pixels = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, {".png": "png", ".jpg": "jpeg"}[path.suffix])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(file.getvalue())
    return file.getvalue()
