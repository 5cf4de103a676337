"""Which shards may be read through the service: those that published manifests name, and nothing else."""

from collections.abc import Mapping

from ropeway.catalog import StoreCatalog
from ropeway.errors import NotFound
from ropeway.manifest import Shard, object_path


class PublishedShards:
    """Shards by their path in the store. Safe to use from threads."""

    def __init__(self, catalog: StoreCatalog) -> None:
        self._catalog = catalog
        self._found: dict[tuple[str, str], Mapping[str, Shard]] = {}

    def find(self, path: str) -> Shard:
        """The shard at `<dataset>/<version>/<name>`, if its version or the dataset's current one names it.

        Raises:
            NotFound: no published manifest names it.
        """
        dataset, _, rest = path.partition("/")
        for version in (rest.partition("/")[0], None):
            try:
                shard = self._of(dataset, version).get(path)
            except NotFound:
                continue
            if shard is not None:
                return shard
        raise NotFound("no such shard in a published dataset", shard=path)

    def _of(self, dataset: str, version: str | None) -> Mapping[str, Shard]:
        manifest = self._catalog.manifest(dataset, version)
        name = dataset, manifest.version
        if name not in self._found:
            self._found[name] = {object_path(dataset, shard.path): shard for shard in manifest.shards}
        return self._found[name]
