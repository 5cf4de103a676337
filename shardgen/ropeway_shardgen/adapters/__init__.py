"""Adapters: one module per raw format, named after it (`dicom-series` is `dicom_series.py`)."""

import importlib
import pkgutil
import re
from functools import cache
from typing import Any

from ropeway.errors import UsageError
from ropeway_shardgen.adapters.adapter import Adapter, Options, Payload, Row

__all__ = ["Adapter", "Options", "Payload", "Row", "adapter", "adapters"]

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


@cache
def adapter(name: str) -> Adapter[Any]:
    """The adapter of that name.

    Raises:
        UsageError: there is none.
    """
    found = _in_module(name.replace("-", "_")) if _NAME.fullmatch(name) else None
    if found is None:
        raise UsageError(f"no adapter {name!r}; there is: {', '.join(adapters())}")
    return found


@cache
def adapters() -> tuple[str, ...]:
    """The names of all adapters, sorted. Other modules of this package help them."""
    modules = (module.name for module in pkgutil.iter_modules(__path__))
    return tuple(sorted(name.replace("_", "-") for name in modules if _in_module(name) is not None))


def _in_module(module: str) -> Adapter[Any] | None:
    full = f"{__name__}.{module}"
    try:
        return getattr(importlib.import_module(full), "ADAPTER", None)
    except ModuleNotFoundError as error:
        if error.name != full:
            raise
        return None
