"""LNDb: slabs of a chest CT and which nodules its readers marked in them.

The volumes are MetaImages; the findings are rows of `trainNodules.csv` (one per reader and finding): world coordinates
of the centroid (mm, LPS), whether the reader calls it a nodule, and its volume (mm³). Source: Pedrosa et al., LNDb,
arXiv:1911.08434, https://lndb.grand-challenge.org/Data/.
"""

import csv
import json
import math
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ropeway.index import Value
from ropeway_shardgen.adapters import metaimage
from ropeway_shardgen.adapters.adapter import Adapter, Payload, Row
from ropeway_shardgen.adapters.opened import Opened
from ropeway_shardgen.fields import Fields
from ropeway_shardgen.formats.metaimage_header import Header, read_header
from ropeway_shardgen.formats.slabs import Slab, SlabOptions, locators, slab_fields, slabs

SMALL, LARGE, NONE = "nodule <3 mm", "nodule >=3 mm", "none"
_BORDER = 3.0
"""Millimetres of equivalent diameter up to which a nodule is small, as LNDb and LIDC-IDRI divide them."""
_OVERLAP = 2
"""Slices of a nodule that a slab must hold; all of them where it has fewer."""
_COLUMNS = ("LNDbID", "RadID", "FindingID", "x", "y", "z", "Nodule", "Volume", "Text")


class LndbOptions(SlabOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How volumes are cut, and where the findings are."""

    findings: str = "../trainNodules.csv"
    """Path from the volume's folder."""


@dataclass(frozen=True, slots=True)
class _Finding:
    """One reader's finding, placed in the volume: `slice`, `row` and `column` may lie between voxels."""

    reader: str
    finding: str
    nodule: bool
    slice: float
    row: float
    column: float
    diameter: float
    """Of the sphere of the same volume, mm."""
    texture: float

    @property
    def word(self) -> str:
        return SMALL if self.diameter <= _BORDER else LARGE

    def slices(self, thickness: float) -> range:
        """Slices that the sphere of the same volume touches, its centre's at least."""
        radius = self.diameter / 2 / thickness
        middle = round(self.slice)
        return range(min(middle, math.ceil(self.slice - radius)), max(middle, math.floor(self.slice + radius)) + 1)


class _Table:
    """The findings of all scans, read once: scan → rows."""

    def __init__(self, path: Path) -> None:
        self.rows: dict[int, list[dict[str, str]]] = {}
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            lacking = [name for name in _COLUMNS if name not in (rows.fieldnames or ())]
            if lacking:
                raise ValueError(f"{path.name} has no column {lacking[0]!r}")
            for row in rows:
                self.rows.setdefault(int(row["LNDbID"]), []).append(row)

    def close(self) -> None:
        """Nothing stays open."""


_OPENED = Opened(_Table)


def rows(path: Path, options: LndbOptions) -> Iterator[Row]:
    """One row per slab: the fields of `metaimage`, `scan` (number), `sizes` (the sorts of nodules in the slab joined by
    `;`, or `none`), `has_nodule` (one of 3 mm or more) and `findings` (JSON, all that any reader marked in it)."""
    header = read_header(path)
    scan = int(path.stem.rpartition("-")[2])
    found = [_finding(header, row) for row in _OPENED.get(_findings(path, options)).rows.get(scan, [])]
    fields = {**metaimage.header_fields(header), "scan": scan}
    for slab in slabs(header.shape[0], options):
        inside = [finding for finding in found if _holds(slab, finding, header.spacing[2])]
        yield Row({**fields, **slab_fields(slab), **_said(inside)}, (slab.stop - slab.start) * header.slice_bytes)


def read(path: Path, fields: Fields, options: LndbOptions) -> Payload:
    """The slab, int16 (slice, height, width) in Hounsfield units, as `metaimage` reads it."""
    slab = metaimage.MetaImageOptions(slices=options.slices, stride=options.stride, values="hounsfield")
    return metaimage.read(path, fields, slab)


def _finding(header: Header, row: dict[str, str]) -> _Finding:
    x, y, z, volume = (float(row[name]) for name in ("x", "y", "z", "Volume"))
    if row["Nodule"] not in ("0", "1") or volume < 0:
        raise ValueError(f"finding {row['FindingID']} of reader {row['RadID']} is neither a nodule nor none")
    place = np.linalg.inv(header.affine) @ np.array([-x, -y, z, 1.0])  # LPS to RAS
    return _Finding(
        reader=row["RadID"],
        finding=row["FindingID"],
        nodule=row["Nodule"] == "1",
        slice=round(float(place[0]), 2),
        row=round(float(place[1]), 2),
        column=round(float(place[2]), 2),
        diameter=round(2 * (3 * volume / (4 * math.pi)) ** (1 / 3), 3),
        texture=float(row["Text"]),
    )


def _holds(slab: Slab, finding: _Finding, thickness: float) -> bool:
    touched = finding.slices(thickness)
    inside = min(slab.stop, touched.stop) - max(slab.start, touched.start)
    return inside >= min(_OVERLAP, len(touched))


def _said(inside: list[_Finding]) -> dict[str, Value]:
    words = sorted({finding.word for finding in inside if finding.nodule})
    return {
        "sizes": ";".join(words) or NONE,
        "has_nodule": LARGE in words,
        "findings": json.dumps([asdict(finding) for finding in inside]) if inside else None,
    }


def _findings(path: Path, options: LndbOptions) -> Path:
    return Path(os.path.normpath(Path(path.parent, options.findings)))


def _companions(path: Path, options: LndbOptions) -> tuple[Path, ...]:
    data = read_header(path).data
    return (*(() if data == path else (data,)), _findings(path, options))


ADAPTER = Adapter(
    options=LndbOptions, read=read, rows=rows, locators=locators, companions=_companions, raw=metaimage.raw
)
