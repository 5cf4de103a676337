"""Megatron-Energon: `.nv-meta/` in the dataset's folder and an index beside each shard, as `energon prepare` does.

Energon streams `<store>/<dataset>` then as a crude dataset: cookers make samples of the members. What is written was
learnt from Megatron-Energon 7.4 (flavors/webdataset: config.py, itar.py, indexing.py, metadata.py).
"""

import sqlite3
import struct
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

import msgspec

from ropeway.export.listing import ListedSample, by_split, listed
from ropeway.manifest import Manifest, object_path
from ropeway.stores import Store

FOLDER = ".nv-meta"
"""Its folder in the dataset's; what it writes beside shards is named after them."""
_SPLITS = {"valid": "val"}
"""Its name where it has another one."""

_TABLES = """
CREATE TABLE samples (tar_file_id INTEGER NOT NULL, sample_key TEXT NOT NULL UNIQUE, sample_index INTEGER NOT NULL,
    byte_offset INTEGER, byte_size INTEGER);
CREATE TABLE sample_parts (tar_file_id INTEGER, sample_index INTEGER, part_name TEXT, content_byte_offset INTEGER,
    content_byte_size INTEGER);
"""
_INDEXES = """
CREATE INDEX idx_samples_by_tar_and_idx ON samples(tar_file_id, sample_index);
CREATE INDEX idx_sample_parts_seq ON sample_parts(tar_file_id, sample_index, content_byte_offset);
CREATE INDEX idx_sample_parts_full ON sample_parts(tar_file_id, sample_index, part_name, content_byte_offset,
    content_byte_size);
"""


def write(store: Store, manifest: Manifest) -> list[str]:
    """Write all that Energon needs of a version; the paths in the store.

    Raises:
        UsageError: its shards were adopted, or hold samples that were withdrawn.
        StoreError: the store can't be read or written.
    """
    written: list[str] = []

    def put(path: str, content: bytes | Path) -> None:
        written.append(object_path(manifest.dataset, path))
        store.put(written[-1], content)

    with tempfile.TemporaryDirectory(prefix="ropeway-energon-") as folder:
        file = Path(folder, "index.sqlite")
        with closing(sqlite3.connect(file)) as database:
            database.executescript(_TABLES)
            for number, (shard, samples) in enumerate(listed(store, manifest)):
                put(f"{shard.path}.idx", offsets(samples))
                _insert(database, number, samples)
            database.executescript(_INDEXES)
            database.commit()
        put(f"{FOLDER}/index.sqlite", file)
    unique = uuid5(NAMESPACE_URL, f"{manifest.dataset}@{manifest.version}")
    put(f"{FOLDER}/index.uuid", str(unique).encode())
    counts = {shard.path: shard.samples for shard in manifest.shards}
    put(f"{FOLDER}/.info.json", _json({"energon_version": None, "shard_counts": counts}))
    splits = {_SPLITS.get(name, name): [shard.path for shard in own] for name, own in by_split(manifest).items()}
    put(f"{FOLDER}/split.yaml", _json({"split_parts": splits, "exclude": []}))  # JSON is YAML
    flavors = {"dataset": manifest.dataset, "version": manifest.version}
    described = {"__module__": "megatron.energon", "__class__": "CrudeWebdataset", "subflavors": flavors}
    put(f"{FOLDER}/dataset.yaml", _json(described))
    return written


def offsets(samples: Sequence[ListedSample]) -> bytes:
    """A shard's `.tar.idx`: where each sample begins and the last one ends, 8 bytes each, little-endian."""
    ends = [sample.span.offset for sample in samples] + [samples[-1].span.offset + samples[-1].span.length]
    return struct.pack(f"<{len(ends)}Q", *ends)


def _insert(database: sqlite3.Connection, number: int, samples: Sequence[ListedSample]) -> None:
    database.executemany(
        "INSERT INTO samples VALUES (?, ?, ?, ?, ?)",
        ((number, sample.key, at, *sample.span) for at, sample in enumerate(samples)),
    )
    database.executemany(
        "INSERT INTO sample_parts VALUES (?, ?, ?, ?, ?)",
        ((number, at, part.extension, *part.span) for at, sample in enumerate(samples) for part in sample.parts),
    )


def _json(content: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n"
