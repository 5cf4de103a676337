"""The disk cache: ranges of remote shards kept on a node's own disk."""

from ropeway.cache.counters import Counters
from ropeway.cache.disk import CachedBytes, DiskCache

__all__ = ["CachedBytes", "Counters", "DiskCache"]
