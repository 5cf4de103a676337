"""Where a dataset's shards are in a mount: as in the store, adopted ones below the version that adopted them."""

from collections.abc import Mapping, Sequence
from itertools import takewhile

from ropeway.manifest import is_url
from ropeway.samples import ShardRef


def shard_paths(refs: Sequence[ShardRef], used: Sequence[int]) -> Mapping[str, int]:
    """The shards in use by their paths below `shards/<dataset>`, sorted.

    A shard of the store is `<version>/<name>.tar`, with the version that wrote it. An adopted one is below the version
    that names it, with as much of its URL's path as tells it from the others.
    """
    urls = {number: refs[number].path.partition("?")[0].split("/") for number in used if is_url(refs[number].path)}
    levels = zip(*(url[:-1] for url in urls.values()), strict=False)
    common = sum(1 for _ in takewhile(lambda names: len(set(names)) == 1, levels))
    paths = {f"{refs[number].version}/{'/'.join(url[common:])}": number for number, url in urls.items()}
    for number in used:
        if number not in urls:
            paths[refs[number].path.removeprefix(f"{refs[number].dataset}/")] = number
    return dict(sorted(paths.items()))
