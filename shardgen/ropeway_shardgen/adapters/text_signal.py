"""Signals written as text: a line per point in time, a column per channel."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from ropeway.index import Value
from ropeway_shardgen.adapters.adapter import Adapter, Options, Payload, Row, array_payload
from ropeway_shardgen.adapters.opened import Opened
from ropeway_shardgen.fields import Fields, lookup
from ropeway_shardgen.formats import bounded

Array: TypeAlias = npt.NDArray[Any]


class TextSignalOptions(Options, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the text is laid out, which columns are packed, and what a sample is."""

    channels: tuple[str, ...]
    """Columns, in the order wanted."""
    dtype: Literal["uint8", "int16", "int32", "float32", "float64"] = "float32"
    """What the numbers are stored as. One that does not fit is an error."""
    runs: str = ""
    """A column of whole numbers that says what goes on: each run of one value is a sample. Left out: the file is."""
    shortest: int = 1
    """Runs of fewer points are not samples."""
    sampling_rate: float | None = None
    """Hz."""
    units: str = ""


@dataclass(frozen=True, slots=True)
class Text:
    """A file that was read: column names, and numbers [time, column]."""

    columns: tuple[str, ...]
    values: Array

    def column(self, name: str) -> Array:
        """The numbers of one column."""
        if self.columns.count(name) != 1:
            raise ValueError(f"column {name!r} is there {self.columns.count(name)} times; there is: {self._names}")
        return self.values[:, self.columns.index(name)]

    @property
    def _names(self) -> str:
        return ", ".join(self.columns)

    def close(self) -> None:
        """Nothing stays open: the numbers are in memory."""


def _load(path: Path) -> Text:
    """Lines that begin with `#` are not read; the first other line names the columns, separated by tabs or blanks."""
    bounded.check_text(path)
    with path.open(encoding="utf-8") as file:
        lines = (line for line in bounded.lines(file) if line.strip())
        columns = tuple(next((line for line in lines if not line.startswith("#")), "").split())
        first = next(lines, "")
        if not columns or not first:
            raise ValueError("no line of column names, or no line of numbers after it")
        values = np.loadtxt(chain([first], lines), np.float64, comments=None, ndmin=2)
    if values.shape[1] != len(columns):
        raise ValueError(f"lines of {values.shape[1]} numbers under {len(columns)} column names")
    return Text(columns, values)


_OPENED = Opened(_load, limit=2)


def rows(path: Path, options: TextSignalOptions) -> Iterator[Row]:
    """One row per run: `run` (from 0), `first` (its first point), `points`, and the value of the column of runs."""
    text = _OPENED.get(path)
    for run, (first, stop) in enumerate(_runs(text, options)):
        if stop - first < options.shortest:
            continue
        fields: dict[str, Value] = {"run": run, "first": first, "points": stop - first}
        if options.runs:
            fields[options.runs] = f"{text.column(options.runs)[first]:g}"
        yield Row(fields, (stop - first) * len(options.channels) * np.dtype(options.dtype).itemsize)


def read(path: Path, fields: Fields, options: TextSignalOptions) -> Payload:
    """A run's numbers, [channel, time]."""
    text = _OPENED.get(path)
    run = int(lookup(fields, "run") or 0) if options.runs else 0
    first, stop = _runs(text, options)[run]
    values = np.stack([text.column(name)[first:stop] for name in options.channels])
    stored = _stored(values, np.dtype(options.dtype))
    return array_payload(
        stored,
        ("channel", "time"),
        units=options.units,
        sampling_rate=options.sampling_rate,
        channels=options.channels,
    )


def _stored(values: Array, dtype: np.dtype[Any]) -> Array:
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if not ((values >= limits.min) & (values <= limits.max) & (values == np.floor(values))).all():
            raise ValueError(f"a number that is no {dtype.name}: the recipe's dtype does not fit the file")
    return values.astype(dtype)


def _runs(text: Text, options: TextSignalOptions) -> list[tuple[int, int]]:
    """First point of each run, and the one after its last."""
    length = len(text.values)
    if not options.runs:
        return [(0, length)]
    ends = np.flatnonzero(np.diff(text.column(options.runs))) + 1
    edges = [0, *ends.tolist(), length]
    return list(pairwise(edges))


ADAPTER = Adapter(
    options=TextSignalOptions,
    read=read,
    rows=rows,
    locators=lambda options: ("run",) if options.runs else (),
)
