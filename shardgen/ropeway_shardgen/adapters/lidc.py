"""LIDC-IDRI: slabs of a chest CT and the nodules that up to four radiologists marked in them.

A series' folder holds its slices and one XML file of the readings (Armato et al., Medical Physics 38(2), 2011;
https://www.cancerimagingarchive.net/collection/lidc-idri/). A nodule of 3 mm or more has its characteristics and an
outline on each of its slices; a smaller one has a point.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from ropeway.decoders.dicom import quiet
from ropeway.index import Value
from ropeway_shardgen.adapters import dicom_series
from ropeway_shardgen.adapters.adapter import Adapter, Payload, Row
from ropeway_shardgen.fields import Fields
from ropeway_shardgen.formats.dicom_file import opened
from ropeway_shardgen.formats.slabs import SlabOptions, locators

_RADIOGRAPHS = ("DX", "CR")
_READERS = 3
"""Readers that must outline a nodule on a slice, as BenchMD (Wantlin et al., arXiv:2304.08486) has it."""


class LidcOptions(SlabOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How volumes are cut, and how uneven they may be."""

    gap: float = 0.1
    """As for `dicom-series`."""
    least: int = 4
    """Slices with an outlined nodule that make a slab one with a nodule of 3 mm or more."""

    @property
    def series(self) -> dicom_series.SeriesOptions:
        """The options that the slices are read with."""
        return dicom_series.SeriesOptions(slices=self.slices, stride=self.stride, gap=self.gap, values="hounsfield")


def rows(path: Path, options: LidcOptions) -> Iterator[Row]:
    """One row per slab: the fields of `dicom-series`, `large_slices` (with nodules of 3 mm or more that three readers
    outline), `small_marks` (points of smaller ones, by any reader), `readers`, and `sizes` (words joined by `;`, or
    `none`). A chest radiograph, which many patients have in a folder of its own, gives no row.

    Raises:
        ValueError: there is not one XML file of readings, or it is not one of this series.
    """
    if _modality(path) in _RADIOGRAPHS:
        return
    large, small, readers = _readings(path)
    instances = dicom_series.instances(path, options.series)
    for row in dicom_series.rows(path, options.series):
        start, count = (int(row.fields[name] or 0) for name in ("first_slice", "slices"))
        inside = instances[start : start + count]
        outlined = sum(large[instance] >= _READERS for instance in inside)
        points = sum(small[instance] for instance in inside)
        words = [
            word for word, seen in (("nodule <3 mm", points), ("nodule >=3 mm", outlined >= options.least)) if seen
        ]
        said: dict[str, Value] = {
            "large_slices": outlined,
            "small_marks": points,
            "readers": readers,
            "sizes": ";".join(words) or "none",
        }
        yield Row({**row.fields, **said}, row.bytes)


def read(path: Path, fields: Fields, options: LidcOptions) -> Payload:
    """The slab, int16 (slice, height, width) in Hounsfield units, as `dicom-series` reads it."""
    return dicom_series.read(path, fields, options.series)


def _modality(path: Path) -> str:
    first = min(path.glob("*.dcm"), default=None)
    if first is None:
        raise ValueError("no slice in the folder")
    with quiet():
        return str(opened(first, pixels=False).get("Modality") or "")


def _readings(path: Path) -> tuple[Counter[str], Counter[str], int]:
    """Slice → readers that outline a large nodule on it; slice → points of small ones; and the number of readers."""
    files = sorted(path.glob("*.xml"))
    if len(files) != 1:
        raise ValueError(f"{len(files)} XML files of readings in the folder, one is needed")
    content = files[0].read_bytes()
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise ValueError(f"{files[0].name} declares entities, which readings never do")
    try:
        root = ElementTree.fromstring(content)  # no entities, so nothing in it grows
    except ElementTree.ParseError as error:
        raise ValueError(f"{files[0].name} is not XML: {error}") from error
    large: Counter[str] = Counter()
    small: Counter[str] = Counter()
    sessions = root.findall("{*}readingSession")
    for session in sessions:
        outlined: set[str] = set()
        for nodule in session.findall("{*}unblindedReadNodule"):
            places = [(roi.findtext("{*}imageSOP_UID") or "").strip() for roi in nodule.findall("{*}roi")]
            if len(places) > 1 or nodule.find("{*}characteristics") is not None:
                outlined.update(places)
            else:
                small.update(places)
        large.update(outlined)
    return large, small, len(sessions)


ADAPTER = Adapter(
    options=LidcOptions,
    read=read,
    rows=rows,
    locators=locators,
    identifiers=dicom_series.ADAPTER.identifiers,
    raw=lambda path, key, parts: dicom_series.raw(path, key, [part.series for part in parts]),
)
