"""Trials in a MATLAB file: a cell array of structs, one per run, each with a signal and where its trials start."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from ropeway.index import Value
from ropeway_shardgen.adapters.adapter import Adapter, Options, Payload, Row, array_payload
from ropeway_shardgen.adapters.opened import Opened
from ropeway_shardgen.fields import Fields, lookup
from ropeway_shardgen.formats import mat_blank
from ropeway_shardgen.formats.mat_file import MatFile


class MatTrialsOptions(Options, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the structs are called, and how trials are cut."""

    runs: str
    """The cell array."""
    signal: str
    """Field of the struct with the values, [time, channel]."""
    starts: str
    """Field with the first value of each trial, counted from 1 as MATLAB does. Runs without trials are passed over."""
    fields: Mapping[str, str] = {}
    """Field of a sample → field of the struct with one number or word per trial."""
    length: int
    """Values of a trial."""
    sampling_rate: float
    """Hz."""
    channels: tuple[str, ...] = ()
    units: str = ""


_OPENED = Opened(MatFile, limit=2)


def rows(path: Path, options: MatTrialsOptions) -> Iterator[Row]:
    """One row per trial: `run` and `trial` (from 1), `first` (its first value, from 0), and the fields that the options
    name."""
    file = _OPENED.get(path)
    for run in range(1, file.cells(options.runs) + 1):
        struct = f"{options.runs}{{{run}}}"
        starts = file.array(f"{struct}.{options.starts}").ravel(order="F").astype(int) - 1
        columns = {name: file.words(f"{struct}.{field}") for name, field in options.fields.items()}
        for name, words in columns.items():
            if len(words) != len(starts):
                raise ValueError(f"run {run}: {options.fields[name]} has {len(words)} values for {len(starts)} trials")
        for trial, first in enumerate(starts.tolist()):
            fields: dict[str, Value] = {name: words[trial] for name, words in columns.items()}
            yield Row({**fields, "run": run, "trial": trial + 1, "first": first})


def read(path: Path, fields: Fields, options: MatTrialsOptions) -> Payload:
    """A trial's values, [channel, time], in the dtype of the file."""
    run, first = int(lookup(fields, "run") or 0), int(lookup(fields, "first") or 0)
    values = _OPENED.get(path).array(f"{options.runs}{{{run}}}.{options.signal}")
    trial = values[max(first, 0) : first + options.length]
    if values.ndim != 2 or len(trial) != options.length:
        raise ValueError(f"the trial that starts at {first} does not lie in a run of shape {values.shape}")
    if options.channels and len(options.channels) != values.shape[1]:
        raise ValueError(f"a run of {values.shape[1]} channels, the recipe names {len(options.channels)}")
    return array_payload(
        np.ascontiguousarray(trial.T),
        ("channel", "time"),
        units=options.units,
        sampling_rate=options.sampling_rate,
        channels=options.channels,
    )


def _raw(path: Path, _key: bytes, parts: Sequence[MatTrialsOptions]) -> Payload:
    return mat_blank.kept(path, [f"{part.runs}.{field}" for part in parts for field in (part.signal, part.starts)])


ADAPTER = Adapter(options=MatTrialsOptions, read=read, rows=rows, locators=lambda _: ("run", "first"), raw=_raw)
