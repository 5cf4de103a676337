"""Where a requester reads a view's shards: presigned URLs of the object store, or URLs of the service's own."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from time import time
from urllib.parse import quote, urlencode

from ropeway.errors import UsageError
from ropeway.manifest import is_url
from ropeway.samples import ShardRef
from ropeway.stores import Store, open_store
from ropeway_server.principals import Principal
from ropeway_server.shards import served_path
from ropeway_server.signatures import Capability, Signatures
from ropeway_server.views import ServedView

MOST = 4096
"""Shards whose URLs one request may ask for."""


@dataclass(frozen=True, slots=True)
class ShardUrls:
    """Makes URLs that hold for so many seconds.

    Attributes:
        base: the service's own address, as the requester reached it.
        proxied: for networks that reach only the service: no URL of another host is given, but those of web servers.
    """

    store: Store
    signatures: Signatures
    seconds: int
    base: str
    proxied: bool = False

    def of(self, shard: ShardRef, principal: Principal, view: str) -> str:
        """Where one shard is read by a principal, for a view."""
        path = shard.path
        if path.startswith(("http://", "https://")):
            return path
        if not self.proxied and (signed := self._presigned(path)) is not None:
            return signed
        path = served_path(shard)
        by = self.signatures.sign(path, Capability(principal, view, int(time()) + self.seconds))
        return f"{self.base}/v1/objects/{quote(path)}?{urlencode({'by': by})}"

    def _presigned(self, path: str) -> str | None:
        if not is_url(path):
            return self.store.sign(path, self.seconds)
        root, _, name = path.rpartition("/")
        return _opened(root).sign(name, self.seconds)


@lru_cache(maxsize=256)
def _opened(root: str) -> Store:
    """Where adopted shards are, opened once."""
    return open_store(root)


def wanted(served: ServedView, numbers: Sequence[int] | None) -> list[int]:
    """The shard numbers that a request asks for, all by default, without those that have no samples of the view.

    Raises:
        UsageError: some are not there, or they are too many for one answer.
    """
    count = len(served.shards)
    asked = list(range(count)) if numbers is None else list(dict.fromkeys(numbers))
    for number in asked:
        if not 0 <= number < count:
            raise UsageError(f"view {served.view.id} has {count} shards, counted from 0; not {number}")
    found = [number for number in asked if number in served.holding]
    if len(found) > MOST:
        raise UsageError(f"{len(found)} shards are too many for one request: ask for up to {MOST} at a time (shards=…)")
    return found
