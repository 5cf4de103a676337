"""NVIDIA DALI: an index beside each shard, for `fn.readers.webdataset(paths=…, index_paths=…)`.

The format is v1.2 of DALI's `tools/wds2idx.py`: a line with the version and the number of samples; then a line per
sample with extension, offset, size and name of each member.
"""

from collections.abc import Sequence

from ropeway.export.listing import ListedPart, ListedSample, listed
from ropeway.manifest import Manifest, object_path
from ropeway.stores import Store

_VERSION = "v1.2"


def write(store: Store, manifest: Manifest) -> list[str]:
    """Write `<shard>.idx`, without the `.tar`, for every shard; the paths in the store. Raises as `energon.write`."""
    written = []
    for shard, samples in listed(store, manifest):
        written.append(object_path(manifest.dataset, shard.path.removesuffix(".tar") + ".idx"))
        store.put(written[-1], lines(samples).encode())
    return written


def lines(samples: Sequence[ListedSample]) -> str:
    """The index of one shard."""
    told = [" ".join(_member(sample.key, part) for part in sample.parts) for sample in samples]
    return "\n".join([f"{_VERSION} {len(samples)}", *told, ""])


def _member(key: str, part: ListedPart) -> str:
    return f"{part.extension} {part.span.offset} {part.span.length} {key}.{part.extension}"
