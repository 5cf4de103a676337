"""Signal files of WFDB records (.dat, and .mat with the matrix `val`), as the stored integers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ropeway.decoders.wfdb import MISSING, stored_integers, stored_size
from ropeway_shardgen.formats.bounded import check_array
from ropeway_shardgen.formats.mat_file import MatFile, is_mat
from ropeway_shardgen.formats.wfdb_header import Signal

Array: TypeAlias = npt.NDArray[Any]


def signals_of(path: Path, signals: Sequence[Signal], length: int) -> Array:
    """The stored integers of all signals of a file, [signal, time].

    Raises:
        ValueError: the file is not there, cut short, or stored in a way that is not read.
    """
    if not path.exists():
        raise ValueError(f"the header names {path.name}, which is not there")
    if is_mat(path):
        return _matrix(path, signals, length)
    first = signals[0]
    if any((signal.storage, signal.offset) != (first.storage, first.offset) for signal in signals):
        raise ValueError(f"{path.name} holds signals of several storage formats")
    count = len(signals) * length
    size = stored_size(first.storage, count)
    if path.stat().st_size < first.offset + size:
        raise ValueError(f"{path.name} is cut short: {path.stat().st_size} bytes, {first.offset + size} are needed")
    check_array(size)
    with path.open("rb") as file:
        file.seek(first.offset)
        values = stored_integers(file.read(size), first.storage, count)
    return values.reshape(length, len(signals)).T


def check_sum(values: Array, signal: Signal) -> None:
    """Compare a signal's integers with the checksum of its header, if that has one.

    Raises:
        ValueError: they differ.
    """
    if signal.checksum is not None and int(values.sum(dtype=np.int64)) % (1 << 16) != signal.checksum:
        raise ValueError(f"lead {signal.name}: the checksum differs from the header's: {signal.file} is damaged")


def check_storage(signals: Sequence[Signal]) -> None:
    """Refuse signals in a storage format that is not read.

    Raises:
        ValueError: one is; the message says which are read.
    """
    for signal in signals:
        if signal.storage not in MISSING:
            raise ValueError(f"WFDB storage {signal.storage} is not read; read are: {', '.join(map(str, MISSING))}")


def _matrix(path: Path, signals: Sequence[Signal], length: int) -> Array:
    with MatFile(path) as opened:
        values = opened.array("val")
    if values.shape != (len(signals), length) or values.dtype.kind != "i":
        there = f"val is {values.dtype} {values.shape}"
        raise ValueError(f"{path.name}: {there}, the header says {len(signals)} leads of {length}")
    lowest = MISSING[signals[0].storage]
    if values.min() < lowest or values.max() >= -lowest:
        raise ValueError(f"{path.name}: val has numbers beyond storage format {signals[0].storage}")
    return values
