"""Expression tables of Expression Atlas: one sample per column (an assay, or a group of replicates).

Source: the experiment folders of https://ftp.ebi.ac.uk/pub/databases/microarray/data/atlas/experiments, and
https://www.ebi.ac.uk/gxa. RNA-seq tables (`E-…-tpms.tsv`, `E-…-fpkms.tsv`) have a column per assay group, microarray
tables (`E-…_A-…-normalized-expressions.tsv`) one per assay; `expression_table` says how genes are kept.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from ropeway.index import Value
from ropeway_shardgen.adapters.adapter import Adapter, Options, Payload, Row
from ropeway_shardgen.adapters.opened import Opened
from ropeway_shardgen.fields import Fields, lookup, text
from ropeway_shardgen.formats.atlas_design import Design, design_files
from ropeway_shardgen.formats.expression_table import ExpressionTable, vocabulary_payload

_NAMES = {"gene id", "gene name", "design element", "designelementaccession"}
_FILE = re.compile(r"(E-[A-Z]+-\d+)(?:_(A-[A-Z]+-\d+))?-(tpms|fpkms|normalized-expressions)\.tsv")
_UNITS = {"tpms": "TPM", "fpkms": "FPKM", "normalized-expressions": "normalised intensity"}


class AtlasOptions(Options, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What of a table a part holds, and what is told of its assays."""

    content: Literal["values", "vocabulary"] = "values"
    """One sample per column, its values; or one per table, the genes that its rows are of."""
    properties: tuple[str, ...] = ()
    """Properties of the condensed SDRF that become fields (`organism part` becomes `organism_part`)."""


def _open(path: Path) -> ExpressionTable:
    columns = _columns(path)
    return ExpressionTable(path.read_bytes(), columns, [name for name in columns if name.lower() in _NAMES])


_TABLES = Opened(_open)


def rows(path: Path, options: AtlasOptions) -> Iterator[Row]:
    """One row per column: `experiment`, `array`, `measure`, `assay` (the column), `assays` (those it stands for),
    `factors` (what the experiment varies) and the `properties`; or one per table, with the first three.

    Raises:
        ValueError: the name or the header is not that of such a table.
    """
    experiment, array, measure = _name(path)
    of_table: dict[str, Value] = {"experiment": experiment, "array": array, "measure": measure}
    if options.content == "vocabulary":
        yield Row(of_table)
        return
    design = Design(path.parent, experiment)
    assays = [name for name in _columns(path) if name.lower() not in _NAMES]
    size = path.stat().st_size // (len(assays) + 1)
    for assay in assays:
        found: dict[str, Value] = {name.replace(" ", "_"): design.value(assay, name) for name in options.properties}
        own: dict[str, Value] = {
            "assay": assay,
            "assays": ";".join(design.members(assay)),
            "factors": design.factors(assay),
        }
        yield Row({**of_table, **own, **found}, size)


def read(path: Path, fields: Fields, options: AtlasOptions) -> Payload:
    """float32 [gene], or [gene, quantile] (minimum, quartiles, maximum of replicates); NaN where there is no value.

    Fields: `genes`, `missing` (genes without a value), `vocabulary` (digest). Or the vocabulary as text.

    Raises:
        ValueError: a line is not as long as the header, or a cell is neither a number nor five.
    """
    if options.content == "vocabulary":
        return vocabulary_payload(_TABLES.get(path).vocabulary)
    return _TABLES.get(path).values(text(lookup(fields, "assay")) or "", _UNITS[_name(path)[2]])


def companions(path: Path, options: AtlasOptions) -> list[Path]:
    """The files that describe the assays."""
    if options.content == "vocabulary":
        return []
    return [file for file in design_files(path.parent, _name(path)[0]) if file.exists()]


def _name(path: Path) -> tuple[str, str | None, str]:
    match = _FILE.fullmatch(path.name)
    if match is None:
        raise ValueError("not named as an expression table of Expression Atlas is")
    return match[1], match[2], match[3]


def _columns(path: Path) -> list[str]:
    with path.open(encoding="utf-8") as file:
        columns = file.readline().rstrip("\r\n").split("\t")
    named = [name for name in columns if name.lower() in _NAMES]
    if not named or len(named) == len(columns) or len(set(columns)) != len(columns):
        raise ValueError("the first line is not that of an expression table: columns that name the gene, then assays")
    return columns


def _locators(options: AtlasOptions) -> tuple[str, ...]:
    return ("assay",) if options.content == "values" else ()


ADAPTER = Adapter(options=AtlasOptions, read=read, rows=rows, locators=_locators, companions=companions)
