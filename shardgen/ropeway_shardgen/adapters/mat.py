"""Arrays of MATLAB files: one variable, the cells of a cell array, or the entries along an axis."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from ropeway.index import Value
from ropeway_shardgen.adapters.adapter import Adapter, Options, Payload, Row, array_payload
from ropeway_shardgen.adapters.opened import Opened
from ropeway_shardgen.fields import Fields, lookup
from ropeway_shardgen.formats import mat_blank
from ropeway_shardgen.formats.mat_file import MatFile


class MatOptions(Options, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which variable, what its samples are, and what its axes mean."""

    variable: str
    """Its name; `record.data` for a field of a struct."""
    cells: bool = False
    """Whether the variable is a cell array, whose cells are the samples."""
    along: int | None = None
    """The axis (from 0, as MATLAB shows the array) along which samples lie; left out, the array is one sample."""
    fields: Mapping[str, str] = {}
    """Field → variable: a vector with one word or number per sample, or one for all."""
    axes: tuple[str, ...] = ()
    """Names of a sample's axes."""
    channels: tuple[str, ...] = ()
    """Names along a sample's first axis."""
    units: str = ""
    sampling_rate: float | None = None
    """Hz."""


_OPENED = Opened(MatFile, limit=2)


def rows(path: Path, options: MatOptions) -> Iterator[Row]:
    """One row per sample: `entry` (from 0), and the fields that the options name."""
    file = _OPENED.get(path)
    number = _count(file, options)
    columns = {name: _column(file, variable, number) for name, variable in options.fields.items()}
    for entry in range(number):
        fields: dict[str, Value] = {name: values[entry] or None for name, values in columns.items()}
        yield Row({**fields, "entry": entry})


def read(path: Path, fields: Fields, options: MatOptions) -> Payload:
    """A sample's values in the dtype of the file, with the axes that MATLAB shows (without that of `along`)."""
    file = _OPENED.get(path)
    entry = int(lookup(fields, "entry") or 0) if _locators(options) else 0
    values = file.array(options.variable, entry if options.cells else None)
    if options.along is not None:
        values = np.take(values, entry, axis=options.along)
    axes = options.axes or tuple(f"axis{axis}" for axis in range(values.ndim))
    if len(axes) != values.ndim:
        raise ValueError(f"{options.variable} has {values.ndim} axes, the recipe names {len(axes)}")
    if options.channels and len(options.channels) != values.shape[0]:
        raise ValueError(f"{options.variable} has {values.shape[0]} channels, the recipe names {len(options.channels)}")
    return array_payload(
        values,
        axes,
        units=options.units,
        sampling_rate=options.sampling_rate,
        channels=options.channels,
    )


def _count(file: MatFile, options: MatOptions) -> int:
    if options.cells:
        return file.cells(options.variable)
    if options.along is None:
        return 1
    shape = file.array(options.variable).shape
    if options.along >= len(shape):
        raise ValueError(f"{options.variable} has {len(shape)} axes, none of number {options.along}")
    return int(shape[options.along])


def _column(file: MatFile, variable: str, number: int) -> list[str]:
    words = file.words(variable)
    if len(words) not in (1, number):
        raise ValueError(f"variable {variable!r} has {len(words)} values for {number} samples")
    return words if len(words) == number else words * number


def _locators(options: MatOptions) -> tuple[str, ...]:
    return ("entry",) if options.cells or options.along is not None else ()


def _raw(path: Path, _key: bytes, parts: Sequence[MatOptions]) -> Payload:
    return mat_blank.kept(path, [part.variable for part in parts])


ADAPTER = Adapter(options=MatOptions, read=read, rows=rows, locators=_locators, raw=_raw)
