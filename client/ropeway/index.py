"""The index: one row per sample, in Parquet (zstd, row groups of whole shards), readable by whatever reads Parquet.

Columns: `key, shard, offset, length, crc32c, split, subject, content`, per part `<part>.offset` and `<part>.length`
(null: the sample lacks that part), `task.<id>` (class position, list of them, or number; null: unlabelled) and
`meta.<column>`. Offsets and lengths are bytes in the shard; `crc32c` is over the sample's whole span, tar headers
included (null: adopted by headers, nobody has read it); `content` is equal for samples that hold the same (see
`content.py`; older indexes lack the column).
"""

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from operator import attrgetter
from typing import TypeAlias

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from ropeway.errors import FormatError
from ropeway.manifest import NO_SHA256, Manifest, Task
from ropeway.tar import Span

Label: TypeAlias = int | float | Sequence[int] | None
Value: TypeAlias = str | int | float | bool | None

GROUP_ROWS = 1 << 15
"""Rows of a row group, at least: with a group for each shard of some dozen samples, an index took 20 times as long to
read, and was three times as large."""

META_TYPES: dict[str, pa.DataType] = {
    "string": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
}
"""The types a metadata column can have, by the name recipes use."""

_LABEL_TYPES: dict[str, pa.DataType] = {
    "binary": pa.int32(),
    "multiclass": pa.int32(),
    "multilabel": pa.list_(pa.int32()),
    "regression": pa.float64(),
}
CHECKSUM = "crc32c"
_NAMES = pa.dictionary(pa.int32(), pa.string())
_FIXED = [
    pa.field("key", pa.string(), nullable=False),
    pa.field("shard", _NAMES, nullable=False),
    pa.field("offset", pa.int64(), nullable=False),
    pa.field("length", pa.int64(), nullable=False),
    pa.field(CHECKSUM, pa.uint32(), nullable=False),
    pa.field("split", _NAMES, nullable=False),
    pa.field("subject", pa.string()),
]
_CONTENT = pa.field("content", pa.int64())


class Row(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the index says of one sample."""

    key: str
    shard: str
    span: Span
    crc32c: int
    split: str
    subject: str | None
    parts: Mapping[str, Span]
    content: int | None = None
    labels: Mapping[str, Label] = {}
    meta: Mapping[str, Value] = {}


def schema(parts: Iterable[str], tasks: Iterable[Task], meta: Mapping[str, str]) -> pa.Schema:
    """The index's schema for these parts, tasks and metadata columns (name → one of `META_TYPES`)."""
    fields = [*_FIXED, _CONTENT]
    for part in parts:
        fields += [pa.field(f"{part}.offset", pa.int64()), pa.field(f"{part}.length", pa.int64())]
    fields += [pa.field(f"task.{task.id}", _LABEL_TYPES[task.type]) for task in tasks if not task.target]
    fields += [pa.field(f"meta.{name}", META_TYPES[kind]) for name, kind in meta.items()]
    return pa.schema(fields)


def unchecked(schema: pa.Schema) -> pa.Schema:
    """The same schema for samples of which some have no checksum."""
    place = schema.get_field_index(CHECKSUM)
    return schema.set(place, schema.field(place).with_nullable(True))


def table(rows: Sequence[Row], schema: pa.Schema) -> pa.Table:
    """Rows as a table of that schema."""
    return pa.Table.from_pydict({name: _cells(name, rows) for name in schema.names}, schema=schema)


def _cells(column: str, rows: Sequence[Row]) -> list[object]:
    """What the rows have in a column."""
    group, _, name = column.partition(".")
    match group, name:
        case "task", _ if name:
            return [row.labels.get(name) for row in rows]
        case "meta", _ if name:
            return [row.meta.get(name) for row in rows]
        case _, "offset" | "length":
            place = Span._fields.index(name)
            return [None if (span := row.parts.get(group)) is None else span[place] for row in rows]
        case "offset" | "length", "":
            return list(map(attrgetter(f"span.{group}"), rows))
        case _:
            return list(map(attrgetter(column), rows))


def encode(tables: Iterable[pa.Table]) -> bytes:
    """One Parquet file of tables (one per shard); a row group holds several whole ones, `GROUP_ROWS` rows or more."""
    groups = _grouped(tables)
    first = next(groups, None)
    if first is None:
        raise FormatError("an index without shards")
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, first.schema, compression="zstd", store_schema=True) as writer:
        for rows in chain([first], groups):
            writer.write_table(rows.unify_dictionaries(), row_group_size=max(1, len(rows)))
    return sink.getvalue()


def _grouped(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Tables put together until they are large enough for a row group."""
    waiting, rows = list[pa.Table](), 0
    for table in tables:
        waiting.append(table)
        rows += len(table)
        if rows >= GROUP_ROWS:
            yield pa.concat_tables(waiting)
            waiting, rows = [], 0
    if waiting:
        yield pa.concat_tables(waiting)


def decode(data: bytes | memoryview, *, url: str | None = None, coded: Sequence[str] = ()) -> pa.Table:
    """Read an index file; the columns `coded` as numbers of their different texts.

    Raises:
        FormatError: it is not Parquet, or one of the fixed columns is missing, of another type, or null where only
            `subject` and checksums may be.
    """
    try:
        rows = pq.ParquetFile(pa.BufferReader(data), read_dictionary=list(coded)).read()
    except (pa.ArrowException, OSError) as error:
        problem = str(error).splitlines()[0]
        raise FormatError(f"not a Parquet index: {problem}", url=url) from error
    missing = [column.name for column in _FIXED if column.name not in rows.schema.names]
    if missing:
        raise FormatError(f"index lacks the columns {', '.join(missing)}", url=url)
    for column in _FIXED:
        found = rows.schema.field(column.name).type
        if _plain(found) != _plain(column.type):
            raise FormatError(f"index column {column.name} is {found}, not {_plain(column.type)}", url=url)
        if not column.nullable and column.name != CHECKSUM and rows.column(column.name).null_count:
            raise FormatError(f"index column {column.name} has nulls", url=url)
    return rows


def _plain(kind: pa.DataType) -> pa.DataType:
    """A type without its encoding: other writers store names as strings."""
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.string() if pa.types.is_large_string(plain) else plain


def check(rows: pa.Table, manifest: Manifest) -> None:
    """Raise FormatError when an index and its manifest disagree on parts, tasks, shards or the number of samples."""
    expected = {f"{part.name}.{name}": pa.int64() for part in manifest.parts for name in ("offset", "length")}
    expected |= {f"task.{task.id}": _LABEL_TYPES[task.type] for task in manifest.labelled}
    missing = sorted(expected.keys() - set(rows.schema.names))
    if missing:
        raise FormatError(f"index lacks the columns {', '.join(missing)}", dataset=manifest.dataset)
    for name, kind in expected.items():
        found = rows.schema.field(name).type
        if found != kind:
            raise FormatError(f"index column {name} is {found}, not {kind}", dataset=manifest.dataset)
    if len(rows) != manifest.samples:
        raise FormatError(
            f"index has {len(rows)} rows, the manifest {manifest.samples} samples", dataset=manifest.dataset
        )
    _check_checksums(rows, manifest)
    known = {shard.path for shard in manifest.shards}
    unknown = sorted(set(rows.column("shard").unique().to_pylist()) - known)
    if unknown:
        raise FormatError("index names a shard that the manifest does not", dataset=manifest.dataset, shard=unknown[0])


def _check_checksums(rows: pa.Table, manifest: Manifest) -> None:
    """Samples lack a checksum only where their shard lacks one too."""
    checksums = rows.column(CHECKSUM)
    if not checksums.null_count:
        return
    unread = {shard.path for shard in manifest.shards if shard.sha256 == NO_SHA256}
    wrong = sorted(set(rows.column("shard").filter(checksums.is_null()).unique().to_pylist()) - unread)
    if wrong:
        raise FormatError("index lacks checksums of samples", dataset=manifest.dataset, shard=wrong[0])
