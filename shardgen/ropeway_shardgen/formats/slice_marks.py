"""A table that says something of single slices of DICOM series, and how many slices of a slab it says it of."""

import csv
import os
from collections.abc import Sequence
from pathlib import Path

from ropeway.index import Value
from ropeway_shardgen.adapters.adapter import Options
from ropeway_shardgen.adapters.opened import Opened


class SliceMarks(Options, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where the table is, and which of its columns mark slices."""

    file: str
    """Path from the series' folder."""
    flags: tuple[str, ...]
    """Columns of 0 and 1."""
    instance: str = "SOPInstanceUID"
    """The column that names the slice."""
    least: int = 1
    """Marked slices that make a slab a marked one."""

    def path(self, folder: Path) -> Path:
        """The table of a series."""
        return Path(os.path.normpath(Path(folder, self.file)))


class _Marked:
    """A table in memory: for each column, the slices that it marks, and the slices that it knows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._found: dict[SliceMarks, tuple[set[str], dict[str, set[str]]]] = {}

    def slices(self, marks: SliceMarks) -> tuple[set[str], dict[str, set[str]]]:
        """All slices of the table, and column → the slices that it marks."""
        if marks not in self._found:
            self._found[marks] = self._read(marks)
        return self._found[marks]

    def _read(self, marks: SliceMarks) -> tuple[set[str], dict[str, set[str]]]:
        known: set[str] = set()
        marked: dict[str, set[str]] = {flag: set() for flag in marks.flags}
        with self.path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            lacking = sorted({marks.instance, *marks.flags} - set(rows.fieldnames or ()))
            if lacking:
                raise ValueError(f"{self.path.name} has no column {lacking[0]!r}")
            for number, row in enumerate(rows, 1):
                known.add(row[marks.instance])
                for flag in marks.flags:
                    if row[flag] not in ("0", "1"):
                        raise ValueError(f"{self.path.name}, row {number}: {flag} is neither 0 nor 1")
                    if row[flag] == "1":
                        marked[flag].add(row[marks.instance])
        return known, marked

    def close(self) -> None:
        """Nothing stays open."""


_OPENED = Opened(_Marked)


def marks_of(folder: Path, instances: Sequence[str], marks: SliceMarks) -> dict[str, Value]:
    """The fields `<flag>_slices` (how many of these slices are marked) and `<flag>` (whether those are enough).

    Raises:
        ValueError: the table lacks a column, holds another word, or does not know one of the slices.
    """
    known, marked = _OPENED.get(marks.path(folder)).slices(marks)
    unknown = sum(instance not in known for instance in instances)
    if unknown:
        raise ValueError(f"{marks.path(folder).name} does not know {unknown} of {len(instances)} slices")
    counts = {flag: sum(instance in slices for instance in instances) for flag, slices in marked.items()}
    return {
        **{f"{flag}_slices": count for flag, count in counts.items()},
        **{flag: count >= marks.least for flag, count in counts.items()},
    }
