"""Under which licence tiers a dataset version is."""

import threading
from collections.abc import Mapping
from time import monotonic

from ropeway.catalog import StoreCatalog
from ropeway.manifest import Access, Manifest

FRESH = 2.0
"""Seconds that the current versions' tiers are taken as known."""


class Tiers:
    """A version's own tier, and that of the dataset's current version: who tightens it, tightens the old ones too."""

    def __init__(self, catalog: StoreCatalog) -> None:
        self._catalog = catalog
        self._lock = threading.Lock()
        self._current: Mapping[str, Access] = {}
        self._looked = -FRESH

    def of(self, manifest: Manifest) -> frozenset[Access]:
        """The tiers that somebody must be let into to read a version; none where the dataset is published no more."""
        with self._lock:
            if monotonic() - self._looked >= FRESH or manifest.dataset not in self._current:
                self._current = {current.dataset: current.card.access for current in self._catalog.current()}
                self._looked = monotonic()
            current = self._current.get(manifest.dataset)
        return frozenset() if current is None else frozenset({manifest.card.access, current})
