"""NIfTI-1 and NIfTI-2 volumes (.nii, .nii.gz) as arrays of stored values; geometry and scaling are metadata.

A file's first axis, x, changes fastest. So its bytes as they lie are an array (z, y, x), slice after slice, as those of
DICOM series and MetaImages are, and a few slices of a packed volume are one range of bytes.
"""

import gzip
import io
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal, cast

import numpy as np
import numpy.typing as npt

from ropeway.decoders.libraries import damage, require
from ropeway.index import Value
from ropeway_shardgen.adapters.adapter import Adapter, Options, Payload, Row, array_payload
from ropeway_shardgen.fields import Fields
from ropeway_shardgen.formats import nifti_blank
from ropeway_shardgen.formats.bounded import check_array
from ropeway_shardgen.formats.geometry import geometry
from ropeway_shardgen.formats.hounsfield import Values, in_hounsfield
from ropeway_shardgen.formats.nifti_header import HEAD, SIZES, voxels_start

_AXES = ("7", "6", "5", "time", "slice", "height", "width")
_PADDING = 1 << 20
"""Bytes that may follow the voxels. Reading to the end checks the sum of a .gz file, but not one that never ends."""
_DEFLATE = 1032
"""Times that gzip can shrink at best (https://zlib.net/zlib_tech.html)."""


class NiftiOptions(Options, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the voxels are to be."""

    values: Values = "stored"
    """`hounsfield`: int16 Hounsfield units, for CT; `slope` and `intercept` stay what the file says."""
    slice_axis: Literal["x", "z"] = "z"
    """Along which axis of the file slices follow each other. `x`: of files whose axes lie the other way round, as KiTS
    has them; x, y and z are turned, so that slices are first here too."""
    axes: tuple[str, ...] = ()
    """Names of the axes as stored, but for that of colours, where they are not time, slice, height and width."""


def rows(path: Path, options: NiftiOptions) -> Iterator[Row]:
    """One row: `dimensions`, `spacing_x/y/z` (mm), `time_step` (s), `orientation` (such as LAS), `affine` (JSON, mm),
    `slope` and `intercept`."""
    image = _opened(path)
    yield Row(_fields(image, options.slice_axis), int(np.prod(image.shape)) * image.get_data_dtype().itemsize)


def read(path: Path, _found: Fields, options: NiftiOptions) -> Payload:
    """Voxels ([time,] slice, height, width) in the dtype on disk, not rescaled, or as `values` asks; RGB voxels get a
    last axis `channel`.

    `affine` and `orientation` are of the array's axes, as those of every format: the voxel at (slice, height, width)
    lies at `affine @ (slice, height, width, 1)`.

    Raises:
        ValueError: it is no NIfTI file, or cut short, or says that it is larger than it can be.
    """
    image = _opened(path)
    voxels = _voxels(path, image)
    dimensions, fields, units = voxels.ndim, _fields(image, options.slice_axis), ""
    axes = options.axes or _AXES[-dimensions:]
    if len(axes) != dimensions:
        raise ValueError(f"a volume of {dimensions} axes, the recipe names {len(axes)}")
    if voxels.dtype.names:
        voxels, axes = voxels[..., None].view(np.uint8), (*axes, "channel")
    if options.values == "hounsfield":
        voxels, units = in_hounsfield(voxels, fields), "HU"
    if options.slice_axis == "x":
        voxels = voxels.transpose(_turned(dimensions, voxels.ndim))
    return array_payload(voxels, axes, units=units, fields=fields)


def _turned(dimensions: int, stored: int) -> tuple[int, ...]:
    """The order of a stored array's axes with its last three of space the other way round; a colour stays behind."""
    first = max(0, dimensions - 3)
    return *range(first), *reversed(range(first, dimensions)), *range(dimensions, stored)


def _opened(path: Path) -> Any:
    """An image whose header is read. One that cannot hold the voxels it announces is refused before they are read."""
    nibabel = require("nibabel", "nifti")
    with _unpacked(path) as file:
        head = file.read(HEAD)
    end, _ = voxels_start(head)
    with damage(nibabel.spatialimages.HeaderDataError):
        kind = nibabel.Nifti1Image if end == SIZES[0] else nibabel.Nifti2Image
        image = kind.from_stream(io.BytesIO(head[:end] + bytes(4)))  # without extensions: nothing of them is wanted
        _fields(image, "z")  # what it cannot say of itself is found out here
    sides = [int(side) for side in image.shape]
    if not sides or min(sides) < 1:
        raise ValueError(f"a volume of {' × '.join(map(str, sides)) or 'no'} voxels")
    size = int(image.dataobj.offset) + math.prod(sides) * image.get_data_dtype().itemsize
    length = path.stat().st_size
    if size > (length * _DEFLATE if path.suffix == ".gz" else length):
        raise ValueError(f"cut short: {size} bytes are needed in a file of {length} bytes")
    check_array(size)
    return image


@contextmanager
def _unpacked(path: Path) -> Iterator[IO[bytes]]:
    try:
        with cast("IO[bytes]", gzip.open(path)) if path.suffix == ".gz" else path.open("rb") as file:
            yield file
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"cut short or damaged: {error}") from error


def _voxels(path: Path, image: Any) -> npt.NDArray[Any]:
    """Voxels as they lie, the file's last axis first. Of a .gz file all is read: only its end tells if it is whole."""
    start, dtype = int(image.dataobj.offset), image.get_data_dtype()
    size = math.prod(image.shape) * dtype.itemsize
    with _unpacked(path) as file:
        content = file.read(start + size)
        if path.suffix == ".gz" and len(file.read(_PADDING + 1)) > _PADDING:
            raise ValueError("it goes on behind its voxels")
    if len(content) < start + size:
        raise ValueError(f"cut short: {len(content)} bytes, {start + size} are needed")
    return np.frombuffer(content, dtype, offset=start).reshape(image.shape[::-1])


def _fields(image: Any, slice_axis: str) -> dict[str, Value]:
    header = image.header
    affine = image.affine if slice_axis == "x" else image.affine[:, [2, 1, 0, 3]]
    length, time = header.get_xyzt_units()
    millimetres = {"meter": 1000.0, "micron": 0.001}.get(length, 1.0)
    seconds = {"msec": 0.001, "usec": 1e-6}.get(time, 1.0)
    zooms = [float(zoom) for zoom in header.get_zooms()] + [0.0] * 4
    slope, intercept = (float(header[name]) for name in ("scl_slope", "scl_inter"))
    scaled = np.isfinite(slope) and slope != 0
    return {
        "dimensions": len(image.shape),
        "spacing_x": zooms[0] * millimetres,
        "spacing_y": zooms[1] * millimetres,
        "spacing_z": zooms[2] * millimetres,
        "time_step": zooms[3] * seconds if len(image.shape) > 3 else None,
        **geometry(affine),
        "slope": slope if scaled else 1.0,
        "intercept": intercept if scaled and np.isfinite(intercept) else 0.0,
    }


ADAPTER = Adapter(options=NiftiOptions, read=read, rows=rows, raw=lambda path, key, _: nifti_blank.kept(path, key))
