"""What Expression Atlas says of an experiment's assays: its condensed SDRF and its configuration.

Source: the experiment folders of https://ftp.ebi.ac.uk/pub/databases/microarray/data/atlas/experiments. The condensed
SDRF has no header: experiment, array (empty for sequencing), assay, `characteristic` or `factor`, property, value and
often an ontology term. The configuration names the assays of each assay group (`g1`), which the columns of RNA-seq
tables stand for.
"""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

_KINDS = ("characteristic", "factor")
_MOST = 64 << 20
"""Bytes of the largest configuration that is read. Real ones have a few thousand."""


class Design:
    """The assays of one experiment."""

    def __init__(self, folder: Path, experiment: str) -> None:
        """Read the two files of an experiment's folder.

        Raises:
            FileNotFoundError: the condensed SDRF is missing.
            ValueError: one of them is not what it should be.
        """
        self._properties: dict[tuple[str, str], list[str]] = {}
        self._factors: dict[str, list[str]] = {}
        sdrf, configuration = design_files(folder, experiment)
        with sdrf.open(encoding="utf-8", newline="") as file:
            for number, cells in enumerate(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE), 1):
                if not cells:
                    continue
                if len(cells) < 6 or cells[3] not in _KINDS:
                    raise ValueError(f"line {number} of {sdrf.name} is not one of a condensed SDRF")
                _, _, assay, kind, name, value = cells[:6]
                self._properties.setdefault((assay, name), []).append(value)
                if kind == "factor":
                    self._factors.setdefault(assay, []).append(f"{name}: {value}")
        self._groups = _groups(configuration) if configuration.exists() else {}

    def close(self) -> None:
        """Nothing is held open."""

    def members(self, column: str) -> Sequence[str]:
        """The assays that a table's column stands for: those of an assay group, or itself."""
        return self._groups.get(column, (column,))

    def value(self, column: str, property: str) -> str | None:
        """A property of a column's assays, such as `organism part`: distinct values in order, joined by `; `."""
        found = [value for assay in self.members(column) for value in self._properties.get((assay, property), ())]
        return "; ".join(dict.fromkeys(found)) or None

    def factors(self, column: str) -> str | None:
        """What the experiment varies, and its value for a column's assays: `disease: asthma; sex: female`."""
        found = [factor for assay in self.members(column) for factor in self._factors.get(assay, ())]
        return "; ".join(dict.fromkeys(found)) or None


def design_files(folder: Path, experiment: str) -> tuple[Path, Path]:
    """The condensed SDRF and the configuration of an experiment."""
    return folder / f"{experiment}.condensed-sdrf.tsv", folder / f"{experiment}-configuration.xml"


def _groups(path: Path) -> Mapping[str, Sequence[str]]:
    """Assay group → its assays."""
    if path.stat().st_size > _MOST:
        raise ValueError(f"{path.name} has {path.stat().st_size} bytes")
    text = path.read_bytes()
    if b"<!ENTITY" in text:  # entities of entities can grow without bound, and a configuration needs none
        raise ValueError(f"{path.name} declares entities")
    try:
        groups = ElementTree.fromstring(text).iter("assay_group")
    except ElementTree.ParseError as error:
        raise ValueError(f"{path.name} is not XML: {error}") from error
    return {group.get("id", ""): [(assay.text or "").strip() for assay in group.iter("assay")] for group in groups}
