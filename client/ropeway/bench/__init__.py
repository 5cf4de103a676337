"""What this machine and a store can deliver for a view, what bounds it, and with which settings of the loader.

A loader is run for a moment with each of a few settings, and beside that what no loader could pass is measured: reading
the view's bytes and nothing else, copying them in memory, decoding them. All in this process, one after the other.
"""

from ropeway.bench.measure import bench
from ropeway.bench.outcome import Outcome
from ropeway.bench.settings import Settings

__all__ = ["Outcome", "Settings", "bench"]
