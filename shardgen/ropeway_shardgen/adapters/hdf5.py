"""Arrays of HDF5 files: a dataset, or the entries along its first axis. For MATLAB 7.3 and h5ad there are others."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ropeway.decoders.libraries import damage, require
from ropeway.index import Value
from ropeway_shardgen.adapters.adapter import Adapter, Options, Payload, Row, array_payload
from ropeway_shardgen.adapters.opened import Opened
from ropeway_shardgen.fields import Fields, lookup
from ropeway_shardgen.formats.bounded import check_array
from ropeway_shardgen.formats.hdf5_inside import check_inside
from ropeway_shardgen.formats.numbers import shortest

_MOST_PACKED = 1032
"""Bytes that one byte of a zlib stream can become (https://zlib.net/zlib_tech.html)."""
_TOLD = 20
"""Datasets that an error names, at most."""


class Hdf5Options(Options, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which dataset, what its samples are, and what its axes mean."""

    dataset: str
    """Its path in the file, such as `signals/ecg`."""
    rows: bool = False
    """Whether each entry along the first axis is a sample, instead of the array."""
    fields: Mapping[str, str] = {}
    """Field → dataset with one word or number per sample."""
    axes: tuple[str, ...] = ()
    """Names of a sample's axes."""
    channels: tuple[str, ...] = ()
    """Names along a sample's first axis."""
    units: str = ""
    sampling_rate: float | None = None
    """Hz."""


class _File:
    """An open file."""

    def __init__(self, path: Path) -> None:
        self._limit = _MOST_PACKED * path.stat().st_size
        with damage(OSError):
            self._file: Any = require("h5py", "hdf5").File(path, "r")

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def dataset(self, name: str) -> Any:
        """The h5py dataset of that path: of numbers or words, in this very file, no larger than the file can hold."""
        with damage(OSError):
            node = self._file.get(name)  # None where a link leads nowhere, too
        if node is None or not hasattr(node, "dtype"):
            raise ValueError(f"there is no dataset {name!r}; there is: {', '.join(self._names()) or 'none'}")
        check_inside(node, self._file)
        if node.shape is None or not (node.dtype.kind in "biufc" or self._worded(node)):
            raise ValueError(f"dataset {name!r} is no array of numbers or words")
        if node.size * node.dtype.itemsize > self._limit:
            raise ValueError(f"{name} says it is {node.shape}, more than a file of this size can hold")
        return node

    def words(self, name: str) -> list[str]:
        """The elements of a vector as words: numbers in their shortest form, text as it is."""
        node = self.dataset(name)
        check_array(node.size * node.dtype.itemsize)
        with damage(OSError, UnicodeDecodeError):
            if self._worded(node):
                return [str(word) for word in node.asstr()[...].ravel()]
            return [shortest(value) for value in node[...].ravel().tolist()]

    @staticmethod
    def _worded(node: Any) -> bool:
        return require("h5py", "hdf5").check_string_dtype(node.dtype) is not None

    def _names(self) -> list[str]:
        names: list[str] = []

        def note(name: str | bytes, node: Any) -> bool | None:
            if hasattr(node, "dtype"):
                names.append(str(name))  # bytes, where damage made it no UTF-8
            return True if len(names) == _TOLD else None  # which ends the visit

        with damage(OSError, RuntimeError):
            self._file.visititems(note)
        return names


_OPENED = Opened(_File)


def rows(path: Path, options: Hdf5Options) -> Iterator[Row]:
    """One row per sample: `entry` (from 0), and the fields that the options name."""
    file = _OPENED.get(path)
    node = file.dataset(options.dataset)
    if options.rows and not node.shape:
        raise ValueError(f"{options.dataset} is one value, which has no entries")
    number = node.shape[0] if options.rows else 1
    columns = {name: _column(file, told, number) for name, told in options.fields.items()}
    for entry in range(number):
        fields: dict[str, Value] = {name: values[entry] or None for name, values in columns.items()}
        yield Row({**fields, "entry": entry}, node.size * node.dtype.itemsize // max(number, 1))


def read(path: Path, fields: Fields, options: Hdf5Options) -> Payload:
    """A sample's values in the dtype of the file (little-endian)."""
    node = _OPENED.get(path).dataset(options.dataset)
    if node.dtype.kind not in "biufc":
        raise ValueError(f"dataset {options.dataset!r} is no array of numbers")
    number = max(node.shape[0], 1) if options.rows else 1
    check_array(node.size * node.dtype.itemsize // number)
    with damage(OSError):
        values = np.asarray(node[int(lookup(fields, "entry") or 0)] if options.rows else node[...])
    axes = options.axes or tuple(f"axis{axis}" for axis in range(values.ndim))
    if len(axes) != values.ndim:
        raise ValueError(f"a sample has {values.ndim} axes, the recipe names {len(axes)}")
    if options.channels and values.shape[:1] != (len(options.channels),):
        raise ValueError(f"a sample has the shape {values.shape}, the recipe names {len(options.channels)} channels")
    return array_payload(
        values, axes, units=options.units, sampling_rate=options.sampling_rate, channels=options.channels
    )


def _column(file: _File, name: str, number: int) -> list[str]:
    words = file.words(name)
    if len(words) != number:
        raise ValueError(f"dataset {name!r} has {len(words)} values for {number} samples")
    return words


def _locators(options: Hdf5Options) -> tuple[str, ...]:
    return ("entry",) if options.rows else ()


ADAPTER = Adapter(options=Hdf5Options, read=read, rows=rows, locators=_locators)
