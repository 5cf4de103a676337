"""WFDB records: a header (.hea) and the signal files it names (.dat, .mat), as the stored integers.

Formats: signal(5) of the WFDB Applications Guide, https://physionet.org/physiotools/wag/signal-5.htm. A .mat file is
read as the MATLAB matrix `val` (lead, time); of its old version 4, header and format `16+24` say the same.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from ropeway.decoders.wfdb import MISSING
from ropeway.index import Value
from ropeway_shardgen.adapters.adapter import Adapter, Options, Payload, Row, array_payload
from ropeway_shardgen.fields import Fields
from ropeway_shardgen.formats import wfdb_blank
from ropeway_shardgen.formats.numbers import common, common_word
from ropeway_shardgen.formats.wfdb_header import Header, Signal, read_header
from ropeway_shardgen.formats.wfdb_signals import check_storage, check_sum, signals_of

Array: TypeAlias = npt.NDArray[Any]


class WfdbOptions(Options, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which leads, and whether checksums count."""

    leads: tuple[str, ...] = ()
    """Names, in the order wanted, upper and lower case alike; none given: all, as in the header."""
    checksums: Literal["refuse", "ignore"] = "refuse"
    """What a checksum does that differs from the header's. `ignore` only for a release whose headers were changed."""


def companions(path: Path, _options: WfdbOptions) -> Iterable[Path]:
    """The signal files that the header names."""
    return [path.with_name(file) for file in dict.fromkeys(signal.file for signal in read_header(path).signals)]


def rows(path: Path, options: WfdbOptions) -> Iterator[Row]:
    """One row: `sampling_rate` (Hz), `samples` and `seconds` of each lead, and `leads`, `gain`, `baseline`, `units`,
    `age`, `sex`, `dx`, `rx`, `hx`, `sx`.

    A value in `units` is (stored integer − `baseline`) / `gain`; where leads differ, theirs are joined by `;`.
    """
    header = read_header(path)
    signals = header.chosen(options.leads)
    yield Row(_fields(header, signals), header.length * len(signals) * _dtype(signals).itemsize)


def read(path: Path, _: Fields, options: WfdbOptions) -> Payload:
    """The stored integers, [lead, time], int16 (int32 where a lead has more than 16 bits).

    A missing value, which each storage format writes otherwise, is the smallest number of the dtype. Besides the fields
    of `rows`: `missing`, how many values are missing, and `missing_value`, what stands for them.

    Raises:
        ValueError: a file is not there, cut short or damaged, or stored in a way that is not read.
    """
    header = read_header(path)
    signals = header.chosen(options.leads)
    dtype, rows_of = _dtype(signals), dict[int, Array]()
    for file in dict.fromkeys(signal.file for signal in signals):
        together = [signal for signal in header.signals if signal.file == file]
        values = signals_of(path.with_name(file), together, header.length)
        rows_of |= {signal.place: row for signal, row in zip(together, values, strict=True)}
    stored = np.stack([rows_of[signal.place] for signal in signals]).astype(dtype)
    if options.checksums == "refuse":
        for values, signal in zip(stored, signals, strict=True):
            check_sum(values, signal)
    gaps = stored == np.array([MISSING[signal.storage] for signal in signals])[:, None]
    stored[gaps] = np.iinfo(dtype).min
    scale = common_word(f"{1 / signal.gain:g} {signal.units}" if not signal.baseline else "" for signal in signals)
    return array_payload(
        stored,
        ("lead", "time"),
        units=scale if ";" not in scale else "",
        sampling_rate=header.rate,
        channels=options.leads or tuple(signal.name for signal in signals),
        fields={**_fields(header, signals), "missing": int(gaps.sum()), "missing_value": int(np.iinfo(dtype).min)},
    )


def _fields(header: Header, signals: list[Signal]) -> dict[str, Value]:
    return {
        **header.notes,
        "sampling_rate": header.rate,
        "samples": header.length,
        "seconds": header.length / header.rate,
        "leads": ";".join(signal.name for signal in signals),
        "gain": common([signal.gain for signal in signals]),
        "baseline": common([signal.baseline for signal in signals]),
        "units": common_word(signal.units for signal in signals),
    }


def _dtype(signals: list[Signal]) -> np.dtype[Any]:
    check_storage(signals)
    return np.dtype(np.int16 if all(MISSING[signal.storage] >= -(1 << 15) for signal in signals) else np.int32)


def _raw(path: Path, _key: bytes, parts: Sequence[WfdbOptions]) -> Payload:
    return wfdb_blank.kept(path, compare=all(part.checksums == "refuse" for part in parts))


def _kept_too(path: Path, _options: WfdbOptions) -> Iterable[Path]:
    return wfdb_blank.annotations(path)


ADAPTER = Adapter(options=WfdbOptions, read=read, rows=rows, companions=companions, raw=_raw, kept_too=_kept_too)
