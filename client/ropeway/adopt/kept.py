"""What was seen of a shard, kept in the store until the dataset is published: an adoption that was stopped goes on.

`<dataset>/<version>/.adopting/<number>.parquet` has a row per sample and, in its schema's metadata, what is known of
the shard. The version stands for the shards' places, sizes and tags and for the rules, so what is there still holds.
"""

import io
from dataclasses import dataclass

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from ropeway.adopt.places import Place
from ropeway.adopt.scan import Scanned, Seen
from ropeway.errors import FormatError, NotFound
from ropeway.manifest import object_path
from ropeway.stores import Store

_NAME = b"ropeway.adopted"


@dataclass(frozen=True, slots=True)
class Kept:
    """A scanned shard: `rows` has `key, offset, length, crc32c, content`, `<part>.offset`, `<part>.length`, and per
    place of a value `at.<place>`, JSON text or null."""

    place: Place
    sha256: str
    samples: int
    parts: dict[str, Seen]
    ignored: int
    rows: pa.Table


class _Head(msgspec.Struct, frozen=True):
    url: str
    sha256: str
    parts: dict[str, Seen]
    ignored: int


_DECODER = msgspec.json.Decoder(_Head)  # once: see `manifest_reading`


def kept(place: Place, scanned: Scanned, values: tuple[str, ...]) -> Kept:
    """What is kept of a scan."""
    samples = scanned.samples
    columns: dict[str, pa.Array] = {
        "key": pa.array([sample.key for sample in samples], pa.string()),
        "offset": pa.array([sample.span.offset for sample in samples], pa.int64()),
        "length": pa.array([sample.span.length for sample in samples], pa.int64()),
        "crc32c": pa.array([sample.crc32c for sample in samples], pa.uint32()),
        "content": pa.array([sample.content for sample in samples], pa.int64()),
    }
    for part in scanned.parts:
        spans = [sample.parts.get(part) for sample in samples]
        columns[f"{part}.offset"] = pa.array([None if span is None else span.offset for span in spans], pa.int64())
        columns[f"{part}.length"] = pa.array([None if span is None else span.length for span in spans], pa.int64())
    for value in values:
        columns[f"at.{value}"] = pa.array([sample.values.get(value) for sample in samples], pa.string())
    return Kept(place, scanned.sha256, len(samples), scanned.parts, scanned.ignored, pa.table(columns))


def folder(dataset: str, version: str) -> str:
    """Where a version's scans are kept."""
    return object_path(dataset, f"{version}/.adopting")


def write(store: Store, path: str, seen: Kept) -> None:
    """Keep a scan."""
    head = _Head(seen.place.url, seen.sha256, seen.parts, seen.ignored)
    sink = io.BytesIO()
    pq.write_table(seen.rows.replace_schema_metadata({_NAME: msgspec.json.encode(head)}), sink, compression="zstd")
    store.put(path, sink.getvalue())


def read(store: Store, path: str, place: Place) -> Kept | None:
    """A scan that was kept; None where there is none.

    Raises:
        FormatError: it is damaged, or of another shard.
    """
    try:
        data, _ = store.load(path)
    except NotFound:
        return None
    url = f"{store.url}/{path}"
    try:
        rows = pq.read_table(pa.BufferReader(data))
        head = _DECODER.decode((rows.schema.metadata or {}).get(_NAME, b""))
    except (pa.ArrowException, OSError, msgspec.MsgspecError) as error:
        raise FormatError("not what an adoption keeps: delete it, then adopt again", url=url) from error
    if head.url != place.url:
        raise FormatError("kept of another shard: delete it, then adopt again", url=url)
    return Kept(place, head.sha256, len(rows), head.parts, head.ignored, rows.replace_schema_metadata(None))
