"""Single-cell expression matrices (.h5ad, old and new): one sample per row, observation columns as fields."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from ropeway.index import Value
from ropeway_shardgen.adapters.adapter import Adapter, Options, Payload, Row, array_payload
from ropeway_shardgen.adapters.opened import Opened
from ropeway_shardgen.fields import Fields, lookup
from ropeway_shardgen.formats import h5ad_blank
from ropeway_shardgen.formats.h5ad_file import Matrix


class H5adOptions(Options, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which matrix."""

    matrix: str = "X"
    """`X`, `raw/X`, or a layer such as `layers/counts`."""
    units: str = ""


_OPENED = Opened(Matrix)


def rows(path: Path, options: H5adOptions) -> Iterator[Row]:
    """One row per cell: `row` (from 0), `cell` (its name), and every column of `obs`."""
    matrix = _OPENED.get(path)
    cells, columns = matrix.names("obs"), matrix.columns("obs")
    size = matrix.shape(options.matrix)[1] * 4
    for number, cell in enumerate(cells):
        row: dict[str, Value] = {name: values[number] for name, values in columns.items()}
        yield Row({**row, "row": number, "cell": cell}, size)


def read(path: Path, fields: Fields, options: H5adOptions) -> Payload:
    """One row of the matrix, [gene], in the dtype on disk; the gene names are its channels."""
    matrix = _OPENED.get(path)
    values = matrix.row(options.matrix, int(lookup(fields, "row") or 0))
    return array_payload(values, ("gene",), units=options.units, channels=matrix.genes(options.matrix))


def _raw(path: Path, _key: bytes, parts: Sequence[H5adOptions]) -> Payload:
    return h5ad_blank.kept(_OPENED.get(path), [part.matrix for part in parts])


ADAPTER = Adapter(options=H5adOptions, read=read, rows=rows, locators=lambda _: ("row",), raw=_raw)
