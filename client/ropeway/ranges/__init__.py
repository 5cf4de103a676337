"""Byte ranges over HTTP, straight into reused buffers: retried with resumption, hedged when late, safe after a fork."""

from ropeway.ranges.client import RangeClient
from ropeway.ranges.counts import Counters, Counts
from ropeway.ranges.policy import HEDGE, RETRY, Hedge, Retry
from ropeway.ranges.reading import UrlOf
from ropeway.ranges.target import Pieces

__all__ = ["HEDGE", "RETRY", "Counters", "Counts", "Hedge", "Pieces", "RangeClient", "Retry", "UrlOf"]
