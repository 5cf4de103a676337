"""NIfTI-1 and NIfTI-2 volumes (.nii, .nii.gz) as arrays of stored values; geometry and scaling are metadata."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ropeway.decoders.libraries import require
from ropeway.index import Value
from ropeway_shardgen.adapters.adapter import Adapter, Options, Payload, Row, array_payload
from ropeway_shardgen.fields import Fields

_AXES = ("x", "y", "z", "time", "5", "6", "7")


class NiftiOptions(Options, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Volumes need no telling."""


def rows(path: Path, _options: NiftiOptions) -> Iterator[Row]:
    """One row: `dimensions`, `spacing_x/y/z` (mm), `time_step` (s), `orientation` (such as LAS), `affine` (JSON, mm),
    `slope` and `intercept`."""
    image = require("nibabel", "nifti").load(path)
    yield Row(_fields(image), int(np.prod(image.shape)) * image.get_data_dtype().itemsize)


def read(path: Path, _found: Fields, _options: NiftiOptions) -> Payload:
    """Voxels in the dtype on disk: (x, y, z[, time]), not rescaled; RGB voxels get a last axis `channel`."""
    image = require("nibabel", "nifti").load(path)
    voxels = np.asarray(image.dataobj.get_unscaled())
    axes = _AXES[: voxels.ndim]
    if voxels.dtype.names:
        voxels, axes = voxels[..., None].view(np.uint8), (*axes, "channel")
    return array_payload(voxels, axes, fields=_fields(image))


def _fields(image: Any) -> dict[str, Value]:
    nibabel = require("nibabel", "nifti")
    header = image.header
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
        "orientation": "".join(code or "?" for code in nibabel.aff2axcodes(image.affine)),
        "affine": json.dumps(np.asarray(image.affine, np.float64).tolist()),
        "slope": slope if scaled else 1.0,
        "intercept": intercept if scaled and np.isfinite(intercept) else 0.0,
    }


ADAPTER = Adapter(options=NiftiOptions, read=read, rows=rows)
