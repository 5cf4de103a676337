"""Adapters as tests use them: by name, with options as a recipe gives them."""

import io
from pathlib import Path
from typing import Any

import numpy as np

from ropeway_shardgen.adapters import Payload
from ropeway_shardgen.recipe import configured

Array = np.ndarray[Any, Any]
Fields = dict[str, Any]


def read(name: str, path: Path, fields: Fields | None = None, /, **options: Any) -> Payload:
    """What the adapter reads of a file for a sample of these fields."""
    found, told = configured(name, options)
    return found.read(path, fields or {}, told)


def rows(name: str, path: Path, /, **options: Any) -> list[Fields]:
    """The fields of the rows that the adapter lists."""
    found, told = configured(name, options)
    assert found.rows is not None
    return [dict(row.fields) for row in found.rows(path, told)]


def read_all(name: str, path: Path, /, **options: Any) -> None:
    """Read every sample of a file."""
    for row in rows(name, path, **options):
        read(name, path, row, **options)


def beside(name: str, path: Path, /, **options: Any) -> list[str]:
    """The names of the files that the adapter reads along with a file."""
    found, told = configured(name, options)
    return sorted(other.name for other in found.companions(path, told))


def values(payload: Payload) -> Array:
    """The array of a payload, which says the truth about it."""
    array: Array = np.load(io.BytesIO(payload.content), allow_pickle=False)
    assert (array.dtype.str, array.shape) == (payload.dtype, payload.shape)
    assert len(payload.axes) == array.ndim
    return array
