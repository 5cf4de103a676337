"""A folder that holds one DICOM series as a volume of stored values, its slices in the order in which they lie.

File names and instance numbers carry no order. Slices are sorted by the projection of ImagePositionPatient on the
normal of ImageOrientationPatient (DICOM PS3.3, C.7.6.2), and what is not one evenly spaced stack is refused:
localizers, slices at one place, slices that are missing, slices of another size, orientation, scale or series.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ropeway.decoders.dicom import quiet
from ropeway.decoders.libraries import require
from ropeway.index import Value
from ropeway_shardgen.adapters.adapter import Adapter, Payload, Row, array_payload
from ropeway_shardgen.adapters.opened import Opened
from ropeway_shardgen.fields import Fields
from ropeway_shardgen.formats import dicom_burned_in, dicom_deidentify
from ropeway_shardgen.formats.bounded import check_array
from ropeway_shardgen.formats.dicom_burned_in import BurnedIn
from ropeway_shardgen.formats.dicom_file import opened
from ropeway_shardgen.formats.dicom_header import IDENTIFIERS, header_fields, identifiers
from ropeway_shardgen.formats.dicom_stack import Stack, stacked
from ropeway_shardgen.formats.geometry import geometry
from ropeway_shardgen.formats.hounsfield import Values, in_hounsfield
from ropeway_shardgen.formats.slabs import SlabOptions, chosen, locators, slab_fields, slabs
from ropeway_shardgen.formats.slice_marks import SliceMarks, marks_of
from ropeway_shardgen.formats.zipped import zipped
from ropeway_shardgen.problems import SampleError

_LARGEST = 8192
"""Pixels along a side of a slice. No scanner makes larger ones, so a header that says more is damaged."""


class SeriesOptions(SlabOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which files of the folder, how evenly their slices must lie, and whether the volume is cut into slabs."""

    files: str = "*.dcm"
    """Glob pattern in the folder. Each file that matches must be a slice of the series."""
    gap: float = 0.1
    """How far a step between slices may be off the median step, as a fraction of it."""
    burned_in: BurnedIn = "refuse"
    """What happens to series with slices that may show text; see `formats.dicom_burned_in`."""
    values: Values = "stored"
    """`hounsfield`: int16 Hounsfield units, for CT; `slope` and `intercept` stay what the file says."""
    marks: SliceMarks | None = None
    """A table that marks single slices."""


class _Series:
    """The headers of a folder, read once for all slabs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stacks: dict[SeriesOptions, Stack] = {}

    def stack(self, options: SeriesOptions) -> Stack:
        """The slices in order."""
        if options not in self._stacks:
            files = sorted(file for file in self.path.glob(options.files) if file.is_file())
            if not files:
                raise ValueError(f"no file {options.files} in the folder")
            self._stacks[options] = stacked(files, options.gap)
        return self._stacks[options]

    def close(self) -> None:
        """Nothing stays open."""


_OPENED = Opened(_Series)


def rows(path: Path, options: SeriesOptions) -> Iterator[Row]:
    """One row per slab: the allowed header entries of the first slice, the identifiers, `depth` (slices of the series),
    `spacing_slice` (mm), `affine`, `orientation`; `slab`, `first_slice`, `slices`; and what a table of marks says."""
    stack = _OPENED.get(path).stack(options)
    header = stack.first
    found = {**_fields(stack), **identifiers(header)}
    size = int(header.Rows) * int(header.Columns) * (int(header.BitsAllocated) // 8 or 1)
    for slab in slabs(len(stack.files), options):
        inside = stack.instances[slab.start : slab.stop]
        marked = marks_of(path, inside, options.marks) if options.marks else {}
        yield Row({**found, **slab_fields(slab), **marked}, (slab.stop - slab.start) * size)


def instances(path: Path, options: SeriesOptions) -> tuple[str, ...]:
    """The SOP instance UIDs of a series' slices, in order."""
    return _OPENED.get(path).stack(options).instances


def read(path: Path, fields: Fields, options: SeriesOptions) -> Payload:
    """Pixels (slice, height, width) as stored, of which `slope` and `intercept` make HU, or as `values` asks.

    The affine is the whole series': its index counts from the first slice of that, also for a slab.

    Raises:
        SampleError: text may be burned into a slice, or is found there, and the recipe does not allow it.
        ValueError: the folder is not one evenly spaced series, or a file of it cannot be read; the message names it.
    """
    stack = _OPENED.get(path).stack(options)
    wanted = chosen(fields, len(stack.files), options)
    volume = _pixels([stack.files[place] for place in wanted], options)
    found = {**_fields(stack), "first_slice": wanted.start, "slices": len(wanted)}
    axes = ("slice", "height", "width")
    if options.values == "hounsfield":
        return array_payload(in_hounsfield(volume, found), axes, units="HU", fields=found)
    return array_payload(volume, axes, fields=found)


def _fields(stack: Stack) -> dict[str, Value]:
    with quiet():
        found = header_fields(stack.first)
    return {**found, **geometry(stack.affine), "depth": len(stack.files), "spacing_slice": stack.spacing}


def _pixels(files: list[Path], options: SeriesOptions) -> npt.NDArray[Any]:
    volume: npt.NDArray[Any] | None = None
    for place, file in enumerate(files):
        pixels = _slice(file, options)
        if volume is None:
            volume = np.empty((len(files), *pixels.shape), pixels.dtype)
        if pixels.shape != volume.shape[1:] or pixels.dtype != volume.dtype:
            raise ValueError(f"{file.name} has other pixels than the slices before: {pixels.shape} {pixels.dtype}")
        volume[place] = pixels
    assert volume is not None
    return volume


def _slice(file: Path, options: SeriesOptions) -> npt.NDArray[Any]:
    pixels = require("pydicom.pixels", "dicom")
    try:
        with quiet():
            dataset = opened(file)
            dicom_burned_in.check(dataset, options.burned_in)
            if max(int(dataset.Rows), int(dataset.Columns)) > _LARGEST:
                raise ValueError(f"{dataset.Rows} rows and {dataset.Columns} columns")
            shown = np.asarray(pixels.pixel_array(dataset))
            dicom_burned_in.look(shown, options.burned_in)
            return shown
    except SampleError:
        raise
    except Exception as error:
        raise ValueError(f"{file.name} cannot be read: {str(error).partition(chr(10))[0]}") from error


def raw(path: Path, key: bytes, parts: Sequence[SeriesOptions]) -> Payload:
    """All slices as a zip of files without identity, `0000.dcm` and so on in the order in which they lie.

    Raises:
        SampleError: text may be burned into a slice, or is found there, and the recipe does not allow it.
        ValueError: a slice cannot be read or kept; the message names it.
    """
    files = dict.fromkeys(file for part in parts for file in _OPENED.get(path).stack(part).files)
    check_array(sum(file.stat().st_size for file in files))
    said: list[BurnedIn] = [part.burned_in for part in parts]
    slices = ((f"{place:04}.dcm", _original(file, key, said)) for place, file in enumerate(files))
    return Payload(content=zipped(slices), format="zip")


def _original(file: Path, key: bytes, burned_in: Sequence[BurnedIn]) -> bytes:
    pixels = require("pydicom.pixels", "dicom")
    try:
        with quiet():
            dataset = opened(file)
            for said in dict.fromkeys(burned_in):
                dicom_burned_in.check(dataset, said)
                if said == "read":
                    dicom_burned_in.look(pixels.pixel_array(dataset), said)
            return dicom_deidentify.deidentified(dataset, key)
    except SampleError:
        raise
    except Exception as error:
        raise ValueError(f"{file.name} cannot be kept: {str(error).partition(chr(10))[0]}") from error


ADAPTER = Adapter(
    options=SeriesOptions,
    read=read,
    rows=rows,
    locators=locators,
    identifiers=tuple(name for name in IDENTIFIERS if name != "instance"),
    companions=lambda path, options: (options.marks.path(path),) if options.marks else (),
    raw=raw,
)
