"""wids, the indexed reader that came with webdataset up to 0.2: one JSON file per split that lists shards and counts.

The format is `wids-shard-index-v1` of webdataset's `wids/wids_index.py`; URLs are relative to the file.
"""

from posixpath import relpath

import msgspec

from ropeway.errors import UsageError
from ropeway.export.listing import by_split, listed
from ropeway.manifest import Manifest, Shard, is_url, object_path
from ropeway.stores import Store


def write(store: Store, manifest: Manifest) -> list[str]:
    """Write `<version>/wids-<split>.json` for every split; the paths in the store. Raises as `energon.write`."""
    if any(is_url(shard.path) for shard in manifest.shards):
        raise UsageError("its shards were adopted: their URLs are in the manifest", dataset=manifest.dataset)
    for _ in listed(store, manifest):  # whole shards are read: nothing in them may be withdrawn
        pass
    written = []
    for split, shards in by_split(manifest).items():
        path = f"{manifest.version}/wids-{split}.json"
        written.append(object_path(manifest.dataset, path))
        store.put(written[-1], _index(manifest, split, shards))
    return written


def _index(manifest: Manifest, split: str, shards: list[Shard]) -> bytes:
    described = {
        "__kind__": "wids-shard-index-v1",
        "wids_version": 1,
        "name": f"{manifest.dataset}-{split}",
        "shardlist": [
            {"url": relpath(shard.path, manifest.version), "nsamples": shard.samples, "filesize": shard.bytes}
            for shard in shards
        ],
    }
    return msgspec.json.format(msgspec.json.encode(described), indent=1) + b"\n"
