"""MetaImage volumes (.mhd with .raw or .zraw, and .mha) as arrays of stored values, whole or in slabs of slices.

Format: https://itk.org/Wiki/MetaIO/Documentation. Of the header only what is needed to read and place the voxels is
taken: comments and further keys never leave it.
"""

import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ropeway.index import Value
from ropeway_shardgen.adapters.adapter import Adapter, Options, Payload, Row, array_payload
from ropeway_shardgen.fields import Fields
from ropeway_shardgen.formats import metaimage_blank
from ropeway_shardgen.formats.bounded import check_array
from ropeway_shardgen.formats.geometry import geometry
from ropeway_shardgen.formats.hounsfield import Values, in_hounsfield
from ropeway_shardgen.formats.metaimage_header import Header, check_stream, first_byte, read_header
from ropeway_shardgen.formats.slabs import SlabOptions, chosen, locators, slab_fields, slabs

_AXES = ("time", "slice", "height", "width")
_READ = 1 << 20


class MetaImageOptions(SlabOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the voxels are to be, and whether volumes are cut into slabs."""

    values: Values = "stored"
    """`hounsfield`: int16 Hounsfield units, for CT, which MetaImages hold as they are."""


def rows(path: Path, options: MetaImageOptions) -> Iterator[Row]:
    """One row per slab: `slab`, `first_slice`, `slices`, and what `header_fields` gives."""
    header = read_header(path)
    found = header_fields(header)
    for slab in slabs(header.shape[0], options):
        yield Row({**found, **slab_fields(slab)}, (slab.stop - slab.start) * header.slice_bytes)


def read(path: Path, fields: Fields, options: MetaImageOptions) -> Payload:
    """Voxels in the dtype on disk, or as `values` asks: ([time,] [slice,] height, width[, channel]).

    Slabs are cut along the first axis.

    The affine of a slab is the volume's: its index counts from the volume's first slice, `first_slice`.

    Raises:
        ValueError: the header is not one, or the data are shorter than it says.
    """
    header = read_header(path)
    wanted = chosen(fields, header.shape[0], options)
    voxels = _voxels(header, wanted)
    axes = _AXES[-header.dimensions :] + (("channel",) if header.channels > 1 else ())
    found: dict[str, Value] = {**header_fields(header), "first_slice": wanted.start, "slices": len(wanted)}
    if options.values == "hounsfield":
        return array_payload(in_hounsfield(voxels, {}), axes, units="HU", fields=found)
    return array_payload(voxels, axes, fields=found)


def header_fields(header: Header) -> dict[str, Value]:
    """`spacing_x/y/z` (mm; x along a row), `affine` and `orientation` of a volume, `depth`, `height`, `width`."""
    sides = (1, *header.shape[: header.dimensions])[-3:]
    found: dict[str, Value] = {
        "depth": sides[0],
        "height": sides[1],
        "width": sides[2],
        "spacing_x": header.spacing[0],
        "spacing_y": header.spacing[1],
        "spacing_z": header.spacing[2] if header.dimensions > 2 else None,
    }
    return found | (geometry(header.affine) if header.dimensions == 3 else {"affine": None, "orientation": None})


def _voxels(header: Header, wanted: range) -> npt.NDArray[Any]:
    shape = (len(wanted), *header.shape[1:])
    start, size = wanted.start * header.slice_bytes, len(wanted) * header.slice_bytes
    content = _inflated(header, start, size) if header.compressed else _plain(header, start, size)
    return np.frombuffer(content, header.dtype).reshape(shape)


def _plain(header: Header, start: int, size: int) -> bytes:
    """Bytes of the voxels, from a file that holds them all."""
    offset = first_byte(header)
    check_array(size)
    with header.data.open("rb") as file:
        file.seek(offset + start)
        return file.read(size)


def _inflated(header: Header, start: int, size: int) -> bytes:
    """Bytes of the voxels from a zlib stream, which is read up to the last one wanted and never beyond the header."""
    check_stream(header)
    check_array(size)
    unpacker = zlib.decompressobj()
    found, left = bytearray(), start
    with header.data.open("rb") as file:
        file.seek(max(0, header.offset))
        while len(found) < size:
            packed = unpacker.unconsumed_tail or file.read(_READ)
            if not packed or unpacker.eof:
                raise ValueError(f"{header.data.name} is cut short: its stream ends before the last slice")
            try:
                some = unpacker.decompress(packed, _READ)
            except zlib.error as error:
                raise ValueError(f"{header.data.name} is damaged: {error}") from error
            found += some[left:][: size - len(found)]
            left = max(0, left - len(some))
    return bytes(found)


def _companions(path: Path, _options: MetaImageOptions) -> tuple[Path, ...]:
    data = read_header(path).data
    return () if data == path else (data,)


def raw(path: Path, _key: bytes, _parts: Sequence[Options]) -> Payload:
    """The original volume; other adapters that read MetaImages keep it too."""
    return metaimage_blank.kept(path)


ADAPTER = Adapter(options=MetaImageOptions, read=read, rows=rows, locators=locators, companions=_companions, raw=raw)
