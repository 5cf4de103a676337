"""Which dataset versions a store has: their manifests, each read once, and which are the current ones."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from math import inf
from time import monotonic

from ropeway import manifest as manifests
from ropeway import manifest_reading
from ropeway.errors import FormatError, NotFound
from ropeway.keys import check_dataset, is_dataset
from ropeway.manifest import Latest, Manifest
from ropeway.stores import Store


class Versions:
    """The published versions of a store. Safe to use from threads."""

    def __init__(self, store: Store, fresh: float) -> None:
        """
        Args:
            store: where the datasets are.
            fresh: seconds for which it need not be looked again which versions are the current ones.
        """
        self._store = store
        self._fresh, self._looked = fresh, -inf
        self._current, self._looking = list[Manifest](), threading.Lock()
        self._manifests: dict[tuple[str, str], Manifest] = {}

    def latest(self, dataset: str) -> Latest:
        """Which version is the current one, and which were before it.

        Raises:
            NotFound: no such dataset.
        """
        path = manifests.latest_path(dataset)
        try:
            data, _ = self._store.load(path)
        except NotFound as error:
            raise NotFound("no such dataset in the store", dataset=dataset, url=self._store.url) from error
        return manifest_reading.loads_latest(data, url=f"{self._store.url}/{path}")

    def manifest(self, dataset: str, version: str | None = None) -> Manifest:
        """A dataset's manifest, of its current version unless told.

        Raises:
            NotFound: no such dataset or version.
        """
        try:
            check_dataset(dataset)
        except FormatError as error:
            raise NotFound(f"no such dataset in the store: {error}", url=self._store.url) from error
        version = self.latest(dataset).version if version is None else version
        if not manifests.is_version(version):
            raise NotFound(f"no such version: {version!r} (12 hex digits)", dataset=dataset)
        if (dataset, version) not in self._manifests:
            path = manifests.manifest_path(dataset, version)
            url = f"{self._store.url}/{path}"
            data, _ = self._store.load(path)
            found = manifest_reading.loads(data, url=url)
            if (found.dataset, found.version) != (dataset, version):
                raise FormatError(f"the manifest is of {found.dataset}@{found.version}", url=url)
            self._manifests[dataset, version] = found
        return self._manifests[dataset, version]

    def current(self) -> list[Manifest]:
        """The manifests of all datasets in their current versions, by dataset id; of up to `fresh` seconds ago."""
        if monotonic() - self._looked < self._fresh or not self._looking.acquire(blocking=not self._current):
            return self._current
        with ExitStack() as looked:
            looked.callback(self._looking.release)
            if monotonic() - self._looked >= self._fresh:
                self._current = self._look()
                self._looked = monotonic()
            return self._current

    def _look(self) -> list[Manifest]:
        ids = [name for name in self._store.folders() if is_dataset(name)]
        if all(self._store.local_path(name) for name in ids):  # a moment each: threads would only keep others waiting
            found = list(map(self._published, ids))
        else:
            with ThreadPoolExecutor(16) as pool:
                found = list(pool.map(self._published, ids))
        return [manifest for manifest in found if manifest is not None]

    def _published(self, dataset: str) -> Manifest | None:
        try:
            latest = self.latest(dataset).version
        except NotFound:  # a folder without latest.json: packing has begun and nothing is published yet
            return None
        return self.manifest(dataset, latest)
