"""Which shards may be read through the service: those that published manifests name, and nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from ropeway.catalog import StoreCatalog
from ropeway.errors import NotFound
from ropeway.manifest import NO_SHA256, Manifest, Shard, is_url, object_path
from ropeway.samples import ShardRef


@dataclass(frozen=True, slots=True)
class Published:
    """A shard, and the dataset version that names it."""

    manifest: Manifest
    shard: Shard

    @property
    def ref(self) -> ShardRef:
        """The shard as views name it."""
        shard, dataset = self.shard, self.manifest.dataset
        path = object_path(dataset, shard.path)
        return ShardRef(dataset, self.manifest.version, path, shard.bytes, shard.sha256)


class PublishedShards:
    """Shards by their path at `/v1/objects`. Safe to use from threads."""

    def __init__(self, catalog: StoreCatalog) -> None:
        self._catalog = catalog
        self._found: dict[tuple[str, str], Mapping[str, Published]] = {}

    def find(self, path: str) -> Published:
        """The shard at `<dataset>/<version>/<name>`, if its version or the dataset's current one names it.

        Raises:
            NotFound: no published manifest names it.
        """
        dataset, _, rest = path.partition("/")
        for version in (rest.partition("/")[0], None):
            try:
                found = self._of(dataset, version).get(path)
            except NotFound:
                continue
            if found is not None:
                return found
        raise missing(path)

    def _of(self, dataset: str, version: str | None) -> Mapping[str, Published]:
        manifest = self._catalog.manifest(dataset, version)
        name = dataset, manifest.version
        if name not in self._found:
            shards = [Published(manifest, shard) for shard in manifest.shards]
            self._found[name] = {served_path(one.ref): one for one in shards}
        return self._found[name]


def served_path(shard: ShardRef) -> str:
    """Where a shard is at `/v1/objects`: its path in the store; an adopted one goes by its checksum, or where it has
    none, by a digest of its URL."""
    if not is_url(shard.path):
        return shard.path
    name = sha256(shard.path.encode()).hexdigest() if shard.sha256 == NO_SHA256 else shard.sha256
    return f"{shard.dataset}/{shard.version}/adopted/{name}.tar"


def missing(path: str) -> NotFound:
    """What is told of a shard that is not there, and of one that the asker may not know of."""
    return NotFound("no such shard in a published dataset", shard=path)
