"""Tables of genes by assays in tab-separated text, read one assay (a column) at a time.

A vector of expression values says nothing without the genes it is of, and they differ between species, arrays and
annotations. A manifest's `channels` can hold one list of genes only, and every sample its own would take more room
than the values. So the genes of a table are its *vocabulary*: the sample holds a digest of it (`vocabulary`), and a
recipe of its own packs each table's vocabulary once, as text, under the same digest.
"""

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from ropeway.index import Value
from ropeway_shardgen.adapters.adapter import Payload, array_payload
from ropeway_shardgen.formats.graph import Array

MISSING = ["", "-", "NA", "NaN", "nan", "null", "NULL"]
"""Cells that hold no value."""

QUANTILES = 5
"""Values in a cell that sums up several replicates: minimum, lower quartile, median, upper quartile, maximum."""


class ExpressionTable:
    """A table whose first columns name the row, and whose others are assays."""

    def __init__(self, text: bytes, columns: Sequence[str], names: Sequence[str]) -> None:
        """Read a table.

        Args:
            text: of the table, header line included.
            columns: all that the header has, in order.
            names: the columns that name the row.

        Raises:
            ValueError: the lines are not equally long, there are none, or there is no such column.
        """
        self._names = names
        assays = [column for column in columns if column not in names]
        try:
            self._table = _parsed(text, columns, dict.fromkeys(assays, pa.float32()))
        except pa.ArrowInvalid:  # cells of several numbers are no numbers; what else is wrong is told again at once
            self._table = _parsed(text, columns, dict.fromkeys(assays, pa.string()))
        if not self._table.num_rows:
            raise ValueError("a table without rows")

    def close(self) -> None:
        """Nothing is held open."""

    @cached_property
    def vocabulary(self) -> str:
        """The names of the rows: a line each, the columns apart by tabs, in the table's order."""
        columns = [self._table.column(name).combine_chunks() for name in self._names]
        return "".join("\t".join(words) + "\n" for words in zip(*(c.to_pylist() for c in columns), strict=True))

    @cached_property
    def digest(self) -> str:
        """What the vocabulary is known by."""
        return digest(self.vocabulary)

    def values(self, assay: str, units: str) -> Payload:
        """An assay's column: float32 [gene], or [gene, quantile] where cells hold five values; NaN where there is none.

        Raises:
            ValueError: a cell is neither a number nor five.
        """
        column = self._table.column(assay).combine_chunks()
        array = _numbers(column, assay) if pa.types.is_string(column.type) else column.to_numpy(zero_copy_only=False)
        found: dict[str, Value] = {
            "genes": len(array),
            "missing": int(np.isnan(array).reshape(len(array), -1).any(axis=1).sum()),
            "vocabulary": self.digest,
        }
        return array_payload(array, ("gene", "quantile")[: array.ndim], units=units, fields=found)


def digest(vocabulary: str) -> str:
    """16 hex digits."""
    return hashlib.sha256(vocabulary.encode()).hexdigest()[:16]


def vocabulary_payload(vocabulary: str) -> Payload:
    """A vocabulary as text, with the fields `genes` and `vocabulary` (its digest)."""
    found: dict[str, Value] = {"genes": vocabulary.count("\n"), "vocabulary": digest(vocabulary)}
    return Payload(content=vocabulary.encode(), format="txt", fields=found)


def _parsed(text: bytes, columns: Sequence[str], assays: Mapping[str, pa.DataType]) -> pa.Table:
    return pa_csv.read_csv(
        pa.BufferReader(text),
        parse_options=pa_csv.ParseOptions(delimiter="\t", quote_char=False),
        convert_options=pa_csv.ConvertOptions(
            column_types={**dict.fromkeys(columns, pa.string()), **assays},
            include_columns=columns,
            null_values=MISSING,
            strings_can_be_null=False,
        ),
    )


def _numbers(cells: pa.StringArray, assay: str) -> Array:
    """Cells of one number each, or of five: [gene] or [gene, quantile]."""
    missing = pc.is_in(cells, pa.array(MISSING))
    words = pc.split_pattern(cells.filter(pc.invert(missing)), ",")
    widths = set(pc.unique(pc.list_value_length(words)).to_pylist())
    if not widths <= {1} and widths != {QUANTILES}:
        raise ValueError(f"assay {assay!r} has cells of {sorted(widths)} numbers; one or {QUANTILES} are known")
    there = pc.list_flatten(words).cast(pa.float32()).to_numpy(zero_copy_only=False)
    array = np.full((len(cells), max(widths, default=1)), np.nan, np.float32)
    array[~missing.to_numpy(zero_copy_only=False)] = there.reshape(-1, array.shape[1])
    return array if array.shape[1] > 1 else array[:, 0]
