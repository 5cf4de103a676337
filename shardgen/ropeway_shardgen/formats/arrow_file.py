"""Arrow and Parquet files of rows, such as HF datasets writes: scalars, content in bytes, lists that are arrays."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ropeway_shardgen.formats import bounded
from ropeway_shardgen.formats.columns import Cell


class ArrowFile:
    """One `.arrow` (stream or file) or `.parquet` file, mapped where it can be. `names` are its columns.

    Raises:
        ValueError: it is neither, or unpacks to more than is held in memory.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._table = _parquet(path) if path.suffix == ".parquet" else _read(path)
        except (pa.ArrowException, OSError) as error:
            raise ValueError(f"{path.name} is no Arrow or Parquet file, or it is cut short") from error
        self.names: tuple[str, ...] = tuple(self._table.schema.names)

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def cell(self, row: int, name: str) -> Cell:
        if name not in self.names:
            raise ValueError(f"there is no column {name!r}; there is: {', '.join(self.names)}")
        column = self._table.column(name)
        return _plain(column[row], column.type)

    def close(self) -> None:
        """Let go of the file."""
        self._table = self._table.slice(0, 0)


def _parquet(path: Path) -> pa.Table:
    with pq.ParquetFile(path) as file:
        bounded.check_groups(file.metadata, together=True)
        found, size = list[pa.RecordBatch](), 0
        for batch in bounded.batches(file):
            size += batch.nbytes
            bounded.check_array(size)
            found.append(batch)
        return pa.Table.from_batches(found, file.schema_arrow)


def _read(path: Path) -> pa.Table:
    source = pa.memory_map(str(path))
    try:
        return pa.ipc.open_stream(source).read_all()
    except pa.ArrowInvalid:
        return pa.ipc.open_file(source).read_all()


def _plain(value: Any, kind: pa.DataType) -> Cell:
    """A value: `{bytes, path}` of HF's Image and Audio is its bytes; nested lists of numbers are an array."""
    if isinstance(kind, pa.BaseExtensionType):
        value, kind = value.value, kind.storage_type
    plain = value.as_py()
    if pa.types.is_struct(kind) and plain is not None and "bytes" in plain:
        if plain["bytes"] is None:
            raise ValueError(
                f"only the path of a file is stored ({plain.get('path')}), not its content: embed the files"
            )
        return bytes(plain["bytes"])
    inner, axes = kind, 0
    while pa.types.is_list(inner) or pa.types.is_large_list(inner) or pa.types.is_fixed_size_list(inner):
        inner, axes = inner.value_type, axes + 1
    if axes and plain is not None and (pa.types.is_integer(inner) or pa.types.is_floating(inner)):
        array = np.array(plain, inner.to_pandas_dtype())
        return array if array.ndim == axes else array.reshape((0,) * axes)
    return plain  # type: ignore[no-any-return]
