"""Ropeway: a streaming dataset service over WebDataset shards. Pack, query, stream, mount.

    import ropeway

    catalog = ropeway.connect("s3://bucket/climb")        # or "http://index:8080", or a path
    view = catalog.query(task="ecg-diagnosis", split="train", where="age >= 60")
    loader = ropeway.StreamingLoader(view, batch_size=256, seed=0)
    for batch in loader:
        ...

torch is imported only when `StreamingLoader` or `StreamingDataset` is first used.
"""

from importlib.metadata import version
from typing import TYPE_CHECKING

from ropeway.catalog import Catalog, connect
from ropeway.decode import Decoder
from ropeway.errors import RopewayError
from ropeway.order import Sequential, Shuffled
from ropeway.stores import open_store
from ropeway.view import View
from ropeway.world import World

if TYPE_CHECKING:
    from ropeway.loader import StreamingLoader
    from ropeway.torch_dataset import StreamingDataset

__version__ = version("ropeway")

__all__ = [
    "Catalog",
    "Decoder",
    "RopewayError",
    "Sequential",
    "Shuffled",
    "StreamingDataset",
    "StreamingLoader",
    "View",
    "World",
    "connect",
    "open_store",
]

_LAZY = {"StreamingLoader": "ropeway.loader", "StreamingDataset": "ropeway.torch_dataset"}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module 'ropeway' has no attribute {name!r}")
    from importlib import import_module

    try:
        module = import_module(_LAZY[name])
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ImportError(f"ropeway.{name} needs torch: pip install 'ropeway[torch]'") from error
    return getattr(module, name)
