"""What becomes of a dataset after it was packed: subjects are withdrawn, shards are rewritten without them.

    withdraw    a new version without some subjects, of the same shards
    compact     a new version of shards that do not hold them any more
    erase       the versions that do are removed from the store

Each is a new version that `latest.json` is made to point at by compare-and-swap. A version's id is a digest of what it
is made of: a command that was killed finds its own work when it is run again.
"""

from ropeway.lifecycle.compacting import Compacted, compact
from ropeway.lifecycle.erasing import Erasure, erase, planned
from ropeway.lifecycle.subjects import Named
from ropeway.lifecycle.withdrawing import Withdrawal, withdraw

__all__ = ["Compacted", "Erasure", "Named", "Withdrawal", "compact", "erase", "planned", "withdraw"]
