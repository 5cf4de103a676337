"""Ropeway: a streaming dataset service over WebDataset shards. Pack, query, stream, mount.

    import ropeway

    catalog = ropeway.connect("s3://bucket/climb")        # or "http://index:8080", or a path
    view = catalog.query(task="ecg-diagnosis", split="train", where="age >= 60")
    loader = ropeway.StreamingLoader(view, batch_size=256, seed=0)
    for batch in loader:
        ...

Nothing heavy is imported before the name that needs it is first used; torch only by `StreamingLoader`,
`StreamingDataset` and `evaluate`.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ropeway.bad import substitute
    from ropeway.budget import Budget
    from ropeway.cache import DiskCache
    from ropeway.catalog import Catalog, connect
    from ropeway.collate import Nested, Padded
    from ropeway.decode import Decoder
    from ropeway.errors import RopewayError
    from ropeway.evaluation import evaluate
    from ropeway.groups import Groups
    from ropeway.loader import StreamingLoader
    from ropeway.mixing import mix, temperature
    from ropeway.numpy_loader import NumpyLoader
    from ropeway.order import Sequential, Shuffled
    from ropeway.questions import Question, as_qa
    from ropeway.readings import Clip, Image, Slab, Whole, Window
    from ropeway.stores import open_store
    from ropeway.torch_dataset import StreamingDataset
    from ropeway.view import View
    from ropeway.world import World

__version__ = version("ropeway")

__all__ = [
    "Budget",
    "Catalog",
    "Clip",
    "Decoder",
    "DiskCache",
    "Groups",
    "Image",
    "Nested",
    "NumpyLoader",
    "Padded",
    "Question",
    "RopewayError",
    "Sequential",
    "Shuffled",
    "Slab",
    "StreamingDataset",
    "StreamingLoader",
    "View",
    "Whole",
    "Window",
    "World",
    "as_qa",
    "connect",
    "evaluate",
    "mix",
    "open_store",
    "substitute",
    "temperature",
]

_HOMES = {
    "Budget": "budget",
    "Catalog": "catalog",
    "Clip": "readings",
    "Decoder": "decode",
    "DiskCache": "cache",
    "Groups": "groups",
    "Image": "readings",
    "Nested": "collate",
    "NumpyLoader": "numpy_loader",
    "Padded": "collate",
    "Question": "questions",
    "RopewayError": "errors",
    "Sequential": "order",
    "Shuffled": "order",
    "Slab": "readings",
    "StreamingDataset": "torch_dataset",
    "StreamingLoader": "loader",
    "View": "view",
    "Whole": "readings",
    "Window": "readings",
    "World": "world",
    "as_qa": "questions",
    "connect": "catalog",
    "evaluate": "evaluation",
    "mix": "mixing",
    "open_store": "stores",
    "substitute": "bad",
    "temperature": "mixing",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'ropeway' has no attribute {name!r}")
    try:
        module = import_module(f"ropeway.{_HOMES[name]}")
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ImportError(f"ropeway.{name} needs torch: pip install 'ropeway[torch]'") from error
    return getattr(module, name)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
