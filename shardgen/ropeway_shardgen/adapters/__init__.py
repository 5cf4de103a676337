"""Adapters: one module per raw format."""

import importlib
from functools import cache
from typing import Any

from ropeway.errors import UsageError
from ropeway_shardgen.adapters.adapter import Adapter, Options, Payload, Row

__all__ = ["ADAPTERS", "Adapter", "Options", "Payload", "Row", "adapter"]

ADAPTERS = {
    "image": "image",
    "dicom": "dicom",
    "dicom-waveform": "dicom_waveform",
    "nifti": "nifti",
    "edf": "edf",
    "h5ad": "h5ad",
    "table": "table",
}
"""Adapter name → its module here."""


@cache
def adapter(name: str) -> Adapter[Any]:
    """The adapter of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in ADAPTERS:
        raise UsageError(f"no adapter {name!r}; there is: {', '.join(ADAPTERS)}")
    found: Adapter[Any] = importlib.import_module(f"{__name__}.{ADAPTERS[name]}").ADAPTER
    return found
