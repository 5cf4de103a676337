"""Exporting: what other programs want beside the shards, from the index. No shard is copied or changed.

`energon.py` for Megatron-Energon, `dali.py` for NVIDIA DALI, `wids.py` for webdataset's indexed reader; programs that
take plain URLs need nothing but `View.urls()` (`urls.py`).
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

from ropeway.export import dali, energon, wids
from ropeway.manifest import Manifest
from ropeway.stores import Store

__all__ = ["WRITERS", "Writer"]

Writer: TypeAlias = Callable[[Store, Manifest], list[str]]
"""Writes what a program needs into the dataset's folder; gives the paths in the store."""

WRITERS: Mapping[str, Writer] = MappingProxyType({"energon": energon.write, "dali": dali.write, "wids": wids.write})
"""By program."""
