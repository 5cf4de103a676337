"""A pack that a test has a process apart do, which must be able to import it."""

import resource
from pathlib import Path

from ropeway.errors import RopewayError
from ropeway.stores import Store
from ropeway_shardgen.pack import pack
from ropeway_shardgen.plan import Settings
from ropeway_shardgen.recipe import load


def grown(_tell: object, _given: None, name: str, raw: Path, store: Store) -> tuple[int, bool]:
    """Pack what can be packed: by how many bytes the process has grown, and whether anything is published."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        pack(load(name), raw, store, Settings(on_error="skip"))
        published = True
    except RopewayError:
        published = False
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10, published


def ready(_tell: object, _given: None) -> None:
    """Nothing: what this module imports is there."""
