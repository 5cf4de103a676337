"""NumPy files (.npy): the array, or the entries along its first axis. Pickled objects are never loaded."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
import numpy.typing as npt

from ropeway.decoders.libraries import damage
from ropeway.index import Value
from ropeway_shardgen.adapters.adapter import Adapter, Options, Payload, Row, array_payload
from ropeway_shardgen.fields import Fields, lookup
from ropeway_shardgen.formats.numbers import shortest


class NumpyOptions(Options, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the samples of an array are, and what its axes mean."""

    rows: bool = False
    """Whether each entry along the first axis is a sample, instead of the array."""
    beside: Mapping[str, str] = {}
    """Field → name of another .npy file of the folder, with one entry per sample; several numbers are joined by `;`."""
    axes: tuple[str, ...] = ()
    """Names of a sample's axes."""
    channels: tuple[str, ...] = ()
    """Names along a sample's first axis."""
    units: str = ""
    sampling_rate: float | None = None
    """Hz."""


def companions(path: Path, options: NumpyOptions) -> Iterable[Path]:
    """The files beside it that fields come from."""
    return [path.with_name(name) for name in options.beside.values()]


def rows(path: Path, options: NumpyOptions) -> Iterator[Row]:
    """One row per sample: `entry` (from 0), and the fields that the options name."""
    array = _opened(path)
    number = len(array) if options.rows else 1
    columns = {name: _column(path.with_name(file), number) for name, file in options.beside.items()}
    for entry in range(number):
        fields: dict[str, Value] = {name: values[entry] for name, values in columns.items()}
        yield Row({**fields, "entry": entry}, array.nbytes // max(number, 1))


def read(path: Path, fields: Fields, options: NumpyOptions) -> Payload:
    """A sample's values in the dtype of the file (little-endian)."""
    values: npt.NDArray[Any] = _opened(path)
    if options.rows:
        values = values[int(lookup(fields, "entry") or 0)]
    axes = options.axes or tuple(f"axis{axis}" for axis in range(values.ndim))
    if len(axes) != values.ndim:
        raise ValueError(f"a sample has {values.ndim} axes, the recipe names {len(axes)}")
    if options.channels and len(options.channels) != values.shape[0]:
        raise ValueError(f"a sample has {values.shape[0]} channels, the recipe names {len(options.channels)}")
    return array_payload(
        np.asarray(values),
        axes,
        units=options.units,
        sampling_rate=options.sampling_rate,
        channels=options.channels,
    )


def _opened(path: Path) -> npt.NDArray[Any]:
    """The array, mapped: what is not used is not read, and a header that says too much is refused."""
    with damage(TokenError):
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biufc" or array.ndim == 0:
        raise ValueError("not an .npy file of an array of numbers")
    return array


def _column(path: Path, number: int) -> list[str]:
    if not path.exists():
        raise ValueError(f"there is no {path.name} beside the array")
    values = _opened(path)
    if len(values) != number:
        raise ValueError(f"{path.name} has {len(values)} entries for {number} samples")
    return [";".join(map(shortest, entry)) for entry in values.reshape(number, -1).tolist()]


def _locators(options: NumpyOptions) -> tuple[str, ...]:
    return ("entry",) if options.rows else ()


ADAPTER = Adapter(options=NumpyOptions, read=read, rows=rows, locators=_locators, companions=companions)
