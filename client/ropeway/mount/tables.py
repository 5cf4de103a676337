"""`tables/<dataset>.parquet`: a dataset's samples as a table for pandas, DuckDB, polars and spreadsheets."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ropeway.manifest import Task
from ropeway.mount.held import Spooled
from ropeway.mount.packed import PackedSamples
from ropeway.mount.source import Source
from ropeway.samples import UNLABELLED, UNREAD, Array


def write_table(source: Source, packed: PackedSamples, shards: dict[int, str]) -> Spooled:
    """The table of a dataset: one row per sample, in the order of the index.

    Columns: `key, split, subject`; `task.<id>` by class name (a list of them where a sample may have several; null:
    unlabelled); `meta.<column>`; `shard` as a path in the mount, with `offset, length, crc32c` and per part
    `<part>.offset, <part>.length` (null: the sample lacks it), all as in the index.

    Args:
        source: of the mount.
        packed: the dataset's samples.
        shards: their shards' paths in the mount.
    """
    dataset, table = packed.manifest.dataset, packed.table
    names = source.meta(packed.manifest, table.keys[0].as_py())
    columns = source.open(dataset).columns(["split", "subject", *names]).slice(packed.first, len(table))
    made: dict[str, object] = {
        "key": table.keys,
        "split": columns.column("split"),
        "subject": columns.column("subject"),
    }
    for task in packed.manifest.labelled:
        made[f"task.{task.id}"] = _labels(table.labels[task.id], task)
    made |= {f"meta.{name}": columns.column(name) for name in names}
    paths = pa.array([shards.get(number) for number in range(len(table.shards))], pa.string())
    made["shard"] = pa.DictionaryArray.from_arrays(pa.array(table.shard), paths)
    checksums = pa.array(table.crc32c, mask=table.crc32c == UNREAD)
    made |= {"offset": table.offset, "length": table.length, "crc32c": checksums}
    for part in packed.parts:
        offset, length = table.parts[part]
        made[f"{part}.offset"] = pa.array(offset, mask=offset < 0)
        made[f"{part}.length"] = pa.array(length, mask=offset < 0)
    return Spooled(lambda file: pq.write_table(pa.table(made), file, compression="zstd"))


def _labels(labels: Array, task: Task) -> pa.Array:
    """Stored labels as people read them."""
    if not task.classes:
        return pa.array(labels, mask=np.isnan(labels))
    classes = pa.array(task.classes, pa.string())
    if labels.ndim == 1:
        return pa.DictionaryArray.from_arrays(pa.array(labels.astype(np.int32), mask=labels < 0), classes)
    held = labels == 1
    starts = np.concatenate([[0], np.cumsum(held.sum(axis=1))]).astype(np.int32)
    unlabelled = np.append((labels == UNLABELLED).all(axis=1), False)
    return pa.ListArray.from_arrays(pa.array(starts, mask=unlabelled), classes.take(pa.array(np.nonzero(held)[1])))
