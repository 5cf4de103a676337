"""A version's index files as they are written: whole shards, about a million rows each."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa

from ropeway import index
from ropeway.errors import AlreadyExists
from ropeway.manifest import IndexFile, object_path
from ropeway.publishing import ROWS_PER_FILE
from ropeway.stores import Store


def write_index(store: Store, dataset: str, version: str, tables: Iterable[pa.Table]) -> Iterator[IndexFile]:
    """Write the rows of each shard in turn. A file that is there already with the same rows stays as it is."""
    for number, run in enumerate(_runs(tables)):
        path = f"{version}/index/{number:05d}.parquet"
        data = _put(store, object_path(dataset, path), run)
        yield IndexFile(path=path, rows=sum(map(len, run)), bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


def _runs(tables: Iterable[pa.Table]) -> Iterator[list[pa.Table]]:
    """Tables of about a million rows together."""
    run: list[pa.Table] = []
    for rows in tables:
        run.append(rows)
        if sum(map(len, run)) >= ROWS_PER_FILE:
            yield run
            run = []
    if run:
        yield run


def _put(store: Store, path: str, tables: Sequence[pa.Table]) -> bytes:
    """Write an index file, unless the same rows are there already, perhaps written by another Arrow release."""
    data = index.encode(tables)
    try:
        store.create(path, data)
    except AlreadyExists:
        there, _ = store.load(path)
        if there == data or index.decode(there).equals(index.decode(data)):
            return there
        store.put(path, data)
    return data
