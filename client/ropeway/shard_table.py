"""A view's shard table as columns: a large store has 100,000 shards, of which a rank looks at few.

Over the wire it is an Arrow IPC stream of the columns `dataset`, `version`, `path`, `bytes` and `sha256` (32 bytes), a
row for each shard. The schema's metadata has, as JSON, first and one-past-last row of each page of samples in `pages`,
and of each page of the layout in `layouts`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias, overload

import msgspec
import numpy as np
import pyarrow as pa

from ropeway import wire
from ropeway.errors import FormatError
from ropeway.manifest import Manifest, object_path
from ropeway.samples import Array, ShardRef

Bounds: TypeAlias = Sequence[tuple[int, int]]

_FEW, _SHA256 = pa.dictionary(pa.int32(), pa.string()), pa.binary(32)
_SCHEMA = pa.schema(
    [("dataset", _FEW), ("version", _FEW), ("path", pa.string()), ("bytes", pa.int64()), ("sha256", _SHA256)]
)


class ShardTable(Sequence[ShardRef]):
    """Shards by number. Each is made when it is first looked at, or all of them by going through them."""

    def __init__(self, columns: pa.Table) -> None:
        """
        Args:
            columns: dataset, version, path, bytes and sha256, as the module says.
        """
        self.columns = columns
        self._made: dict[int, ShardRef] = {}

    def __len__(self) -> int:
        return len(self.columns)

    @overload
    def __getitem__(self, number: int) -> ShardRef: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[ShardRef]: ...
    def __getitem__(self, number: int | slice) -> ShardRef | Sequence[ShardRef]:
        if isinstance(number, slice):
            return tuple(self[one] for one in range(*number.indices(len(self))))
        found = self._made.get(number)
        if found is None:
            dataset, version, path, size, checksum = (column[number].as_py() for column in self.columns.columns)
            found = self._made[number] = ShardRef(dataset, version, path, size, checksum.hex())
        return found

    def __iter__(self) -> Iterator[ShardRef]:
        # `to_pylist` takes six times as long
        *told, checksums = (column.to_numpy().tolist() for column in self.columns.columns)
        return map(ShardRef, *told, map(bytes.hex, checksums))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]  # as a list has none

    def __reduce__(self) -> tuple[type["ShardTable"], tuple[pa.Table]]:
        return ShardTable, (self.columns,)


def of_manifest(manifest: Manifest) -> ShardTable:
    """The shards of a dataset version, as views name them."""
    shards, alike = manifest.shards, np.zeros(len(manifest.shards), np.int32)
    dataset, version = (
        pa.DictionaryArray.from_arrays(alike, pa.array([name])) for name in (manifest.dataset, manifest.version)
    )
    paths = [object_path(manifest.dataset, shard.path) for shard in shards]
    return _of(dataset, version, paths, [shard.bytes for shard in shards], [shard.sha256 for shard in shards])


def of_refs(refs: Sequence[ShardRef]) -> ShardTable:
    """Shards as a table; one stays as it is."""
    if isinstance(refs, ShardTable):
        return refs
    dataset, version = (
        pa.array(names, pa.string()).dictionary_encode()
        for names in ([ref.dataset for ref in refs], [ref.version for ref in refs])
    )
    return _of(dataset, version, [ref.path for ref in refs], [ref.bytes for ref in refs], [ref.sha256 for ref in refs])


def _of(
    dataset: pa.Array, version: pa.Array, paths: list[str], sizes: list[int], checksums: list[str]
) -> ShardTable:  # fmt: skip
    raw = [None, pa.py_buffer(bytes.fromhex("".join(checksums)))]
    columns = [dataset, version, pa.array(paths, pa.string()), pa.array(sizes, pa.int64()),
               pa.FixedSizeBinaryArray.from_buffers(_SHA256, len(paths), raw)]  # fmt: skip
    return ShardTable(pa.Table.from_arrays(columns, schema=_SCHEMA))


def together(tables: Sequence[Sequence[ShardRef]]) -> ShardTable:
    """The shards of several tables, one after the other."""
    return ShardTable(pa.concat_tables([of_refs(one).columns for one in tables]))


def datasets(shards: Sequence[ShardRef]) -> Array:
    """The dataset of each shard: str (n,)."""
    found: Array = of_refs(shards).columns.column("dataset").to_numpy()
    return found


@dataclass(frozen=True, slots=True)
class Told:
    """What a service tells of a view's shards.

    Attributes:
        pages, layouts: first and one-past-last row of each page of samples, and of each page of the layout.
    """

    shards: ShardTable
    pages: Bounds
    layouts: Bounds


def pack(shards: Sequence[ShardRef], pages: Bounds, layouts: Bounds) -> bytes:
    """What `unpack` reads."""
    columns = of_refs(shards).columns.unify_dictionaries().combine_chunks()
    bounds = {"pages": msgspec.json.encode(pages), "layouts": msgspec.json.encode(layouts)}
    return wire.arrow_stream(columns.replace_schema_metadata(bounds))


def unpack(content: bytes) -> Told:
    """A view's shard table.

    Raises:
        FormatError: it is none.
    """
    try:
        columns = pa.ipc.open_stream(content).read_all()
        bounds = {
            name: msgspec.json.decode((columns.schema.metadata or {})[name.encode()], type=list[tuple[int, int]])
            for name in ("pages", "layouts")
        }
        columns.validate(full=True)
    except (pa.ArrowException, OSError, KeyError, msgspec.MsgspecError) as error:
        raise FormatError(f"not a view's shard table: {error!r}") from error
    if columns.schema != _SCHEMA or any(column.null_count for column in columns.columns):
        raise FormatError(f"not a view's shard table: it has {columns.schema.names}, or nulls")
    return Told(ShardTable(columns.replace_schema_metadata()), bounds["pages"], bounds["layouts"])
