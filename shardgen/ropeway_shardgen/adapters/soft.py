"""GEO DataSets (`GDS….soft.gz`): one sample per GSM, a column of the DataSet's table.

Source: https://www.ncbi.nlm.nih.gov/geo/info/soft.html. Text is UTF-8, or Latin-1 in old files. The values are as
their submitter gave them (`value_type`: counts, logarithms, ratios), one per probe of the platform;
`expression_table` says how probes are kept.
"""

import gzip
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Literal, cast

from ropeway.index import Value
from ropeway_shardgen.adapters.adapter import Adapter, Options, Payload, Row
from ropeway_shardgen.adapters.opened import Opened
from ropeway_shardgen.fields import Fields, lookup, text
from ropeway_shardgen.formats import bounded
from ropeway_shardgen.formats.expression_table import ExpressionTable, vocabulary_payload
from ropeway_shardgen.formats.soft_header import SUBSET_TYPES, TABLE_BEGIN, TABLE_END, Header, parse

_NAMES = ("ID_REF", "IDENTIFIER")
_CELL = 4
_LARGEST = 1 << 30
"""Bytes of a table, which is held whole: 54,675 probes of a thousand samples take half of that."""
_SAMPLE = re.compile(r"Value for GSM\d+: (.*?)(?:; src: (.*))?")


class SoftOptions(Options, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What of a DataSet a part holds."""

    content: Literal["values", "study", "vocabulary"] = "values"
    """One sample per GSM: its values, or title and description of its study as text. Or one sample per DataSet: the
    probes that the rows of its table are of."""


class DataSet:
    """A DataSet with its table."""

    def __init__(self, path: Path) -> None:
        with _open(path) as file:
            self.header = _header(file)
            table = bounded.whole(file, _LARGEST)
        end = table.find(b"\n" + TABLE_END.encode())
        if end < 0:
            raise ValueError(f"cut short: there is no {TABLE_END}")
        wanted = [*_NAMES, *self.header.samples]
        self.table = ExpressionTable(table[: end + 1], wanted, _NAMES)

    def close(self) -> None:
        """Nothing is held open."""


_OPENED = Opened(DataSet)


def rows(path: Path, options: SoftOptions) -> Iterator[Row]:
    """One row per GSM: `dataset`, `sample`, `sample_title`, `source`, `title`, `platform`, `organism`, `value_type`,
    `series`, `pubmed`, `technology`, and a field per type of subset (`genotype/variation` is `genotype_variation`);
    or one per DataSet, without what is said of a sample.

    Raises:
        ValueError: it is not a GEO DataSet.
    """
    with _open(path) as file:
        header = _header(file)
    study: dict[str, Value] = {
        "dataset": header.accession,
        "title": header.one("title"),
        "platform": header.one("platform"),
        "organism": header.one("sample_organism") or header.one("platform_organism"),
        "value_type": header.one("value_type"),
        "series": header.one("reference_series"),
        "pubmed": header.one("pubmed_id"),
        "technology": header.one("platform_technology_type"),
    }
    if options.content == "vocabulary":
        yield Row(study)
        return
    size = _CELL * int(header.one("feature_count") or 0)
    for sample in header.samples:
        match = _SAMPLE.fullmatch(header.columns[sample])
        own: dict[str, Value] = {
            "sample": sample,
            "sample_title": match[1] if match else None,
            "source": match[2] if match else None,
        }
        subsets = {re.sub(r"[ /]", "_", kind): header.subset(sample, kind) for kind in SUBSET_TYPES}
        yield Row({**study, **own, **subsets}, size or None)


def read(path: Path, fields: Fields, options: SoftOptions) -> Payload:
    """float32 [probe] as `gene`, NaN for what is no number; fields `genes`, `missing`, `vocabulary`. Or text.

    Raises:
        ValueError: the table is cut short, or a cell is no number.
    """
    if options.content == "study":
        with _open(path) as file:
            header = _header(file)
        words = [header.one("title") or "", "\n".join(header.attributes.get("description", ()))]
        return Payload(content="\n\n".join(words).encode(), format="txt")
    table = _OPENED.get(path).table
    if options.content == "vocabulary":
        return vocabulary_payload(table.vocabulary)
    return table.values(text(lookup(fields, "sample")) or "", "")


def _open(path: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path)) if path.suffix == ".gz" else path.open("rb")


def _header(file: IO[bytes]) -> Header:
    """The header; the file is left where the table begins."""
    found = list[bytes]()
    for line in bounded.lines(file):
        if line.startswith(TABLE_BEGIN.encode()):
            break
        found.append(line)
    else:
        raise ValueError(f"not a GEO DataSet, or cut short: there is no {TABLE_BEGIN}")
    content = b"".join(found)
    try:
        words = content.decode("utf-8")
    except UnicodeDecodeError:
        words = content.decode("latin-1")
    return parse(words.splitlines())


def _locators(options: SoftOptions) -> tuple[str, ...]:
    return ("sample",) if options.content == "values" else ()


ADAPTER = Adapter(options=SoftOptions, read=read, rows=rows, locators=_locators)
