"""NIfTI-1 and NIfTI-2 volumes, .nii and .nii.gz."""

import gzip
import io
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from ropeway.decoders.arrays import copy_into
from ropeway.decoders.layout import Layout
from ropeway.decoders.libraries import damage, require
from ropeway.samples import Array

_HEAD = 540
"""Bytes of the longer header, NIfTI-2's."""


@dataclass(frozen=True, slots=True)
class Volume:
    """What a header says.

    Attributes:
        layout: of the stored values, first axis fastest.
        slope, intercept: real value = stored value · slope + intercept.
    """

    layout: Layout
    slope: float
    intercept: float

    def values(self, stored: Array) -> Array:
        """Voxels from stored ones: the same where the scaling is none, else float32; RGB gets a last axis."""
        stored = stored.astype(stored.dtype.newbyteorder("="), order="K", copy=False)
        if stored.dtype.names:
            return np.ascontiguousarray(stored)[..., None].view(np.uint8)
        if (self.slope, self.intercept) == (1.0, 0.0):
            return stored
        scaled = stored.astype(np.complex64 if stored.dtype.kind == "c" else np.float32, order="K")
        scaled *= np.float32(self.slope)
        scaled += np.float32(self.intercept)
        return scaled


def decode_nifti(content: memoryview) -> Array:
    """Voxels (x, y, z[, time]), first axis fastest: as stored, or float32 where the header has a scaling."""
    return _voxels(content).copy(order="K")


def decode_nifti_into(content: memoryview, target: Array) -> None:
    """Voxels into an array of their shape and dtype."""
    copy_into(_voxels(content), target)


def decode_nifti_gz(content: memoryview) -> Array:
    """As `decode_nifti`, from gzip."""
    return _voxels(_unzipped(content)).copy(order="K")


def decode_nifti_gz_into(content: memoryview, target: Array) -> None:
    """As `decode_nifti_into`, from gzip."""
    copy_into(_voxels(_unzipped(content)), target)


def nifti_header(file: BinaryIO) -> Volume:
    """Where a file's voxels lie, from its header alone."""
    file.seek(0)
    return _header(file.read(_HEAD))


def _voxels(content: memoryview) -> Array:
    volume = _header(bytes(content[:_HEAD]))
    return volume.values(volume.layout.whole(content))


def _unzipped(content: memoryview) -> memoryview:
    with damage():
        return memoryview(gzip.decompress(content))


def _header(head: bytes) -> Volume:
    nifti = require("nibabel", "nifti")
    wide = 540 in (int.from_bytes(head[:4], order) for order in ("little", "big"))
    kind, size, magic = (nifti.Nifti2Header, 540, slice(4, 7)) if wide else (nifti.Nifti1Header, 348, slice(344, 347))
    if head[magic] not in (b"n+1", b"n+2"):
        raise ValueError("not a NIfTI file with its voxels in it")
    with damage(nifti.spatialimages.HeaderDataError, nifti.filebasedimages.ImageFileError):
        header = kind.from_fileobj(io.BytesIO(head[:size]), check=False)  # its checks write to stderr
        if not 1 <= header["dim"][0] <= 7 or not header.get_data_offset() >= size:
            raise ValueError(f"a NIfTI header of {header['dim'][0]} dimensions, voxels at {header.get_data_offset()}")
        slope, intercept = header.get_slope_inter()
        layout = Layout(int(header.get_data_offset()), header.get_data_dtype(), header.get_data_shape(), fortran=True)
    return Volume(layout, 1.0 if slope is None else float(slope), 0.0 if intercept is None else float(intercept))
