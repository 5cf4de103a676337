"""WFDB records kept as one part: a zip of the header (.hea) and the signal files it names (.dat, .mat)."""

import io
import re
import zipfile
from dataclasses import dataclass

import numpy as np

from ropeway.decoders.layout import integers
from ropeway.decoders.libraries import damage
from ropeway.samples import Array

_STORAGE = re.compile(r"(\d+)(?:x1)?(?:\+(\d+))?")
_GAIN = re.compile(r"([-+.\deE]+)(?:\(([-+]?\d+)\))?(?:/.*)?")

MISSING = {
    16: -(1 << 15),
    24: -(1 << 23),
    32: -(1 << 31),
    61: -(1 << 15),
    80: -(1 << 7),
    160: -(1 << 15),
    212: -(1 << 11),
}
"""The value that stands for a missing one, by storage format."""


@dataclass(frozen=True, slots=True)
class Signal:
    """A line of a header.

    Attributes:
        file, storage, offset: where its integers are and how they are stored.
        gain, baseline: value in the signal's unit = (stored integer − baseline) / gain.
        checksum: of all its integers, modulo 2¹⁶; None where the header has none.
    """

    file: str
    storage: int
    offset: int
    gain: float
    baseline: int
    checksum: int | None


def decode_wfdb(content: memoryview) -> Array:
    """A record in the signals' own units, float32 (signals, times); NaN where a value is missing.

    Storage formats 16, 24, 32, 61, 80, 160 and 212. Checksums are compared.

    Raises:
        ValueError: no zip of one single-segment record, cut short or damaged.
    """
    with damage(zipfile.BadZipFile), zipfile.ZipFile(io.BytesIO(content)) as archive:
        heads = [name for name in archive.namelist() if name.endswith(".hea")]
        if len(heads) != 1:
            raise ValueError(f"a zip with {len(heads)} WFDB headers; one record is read")
        signals, length = _header(archive.read(heads[0]).decode("latin1"))
        folder = heads[0].rpartition("/")[0]
        stored = np.empty((len(signals), length), np.int32)
        for file in dict.fromkeys(signal.file for signal in signals):
            mine = [place for place, signal in enumerate(signals) if signal.file == file]
            values = archive.read(f"{folder}/{file}" if folder else file)[signals[mine[0]].offset :]
            stored[mine] = stored_integers(values, signals[mine[0]].storage, len(mine) * length).reshape(length, -1).T
    return np.stack([_physical(row, signal) for row, signal in zip(stored, signals, strict=True)])


def _header(text: str) -> tuple[list[Signal], int]:
    """The signals, and how many values each has."""
    lines = [line.split() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if len(lines[0]) < 4 or "/" in lines[0][0]:
        raise ValueError("a WFDB header without a length, or of several segments")
    number, length = int(lines[0][1]), int(lines[0][3])
    if number < 1 or length < 1 or len(lines) != 1 + number:
        raise ValueError(f"a WFDB header of {number} signals, {length} values, {len(lines) - 1} lines")
    return [_signal(line) for line in lines[1:]], length


def _signal(words: list[str]) -> Signal:
    storage = _STORAGE.fullmatch(words[1])
    if storage is None or int(storage[1]) not in MISSING:
        raise ValueError(f"WFDB storage {words[1]} is not read")
    gain = _GAIN.fullmatch(words[2] if len(words) > 2 else "200")
    if gain is None:
        raise ValueError(f"not a WFDB gain: {words[2]}")
    zero = int(words[4]) if len(words) > 4 else 0
    baseline = zero if gain[2] is None else int(gain[2])
    checksum = int(words[6]) % (1 << 16) if len(words) > 6 else None
    return Signal(words[0], int(storage[1]), int(storage[2] or 0), float(gain[1]) or 200.0, baseline, checksum)


def stored_size(storage: int, count: int) -> int:
    """Bytes of so many values in a storage format."""
    return {212: -(-count * 3 // 2), 80: count, 24: 3 * count, 32: 4 * count}.get(storage, 2 * count)


def stored_integers(content: bytes, storage: int, count: int) -> Array:
    """The first values of a signal file in one of the storage formats of `MISSING`, int32, in the file's order.

    Raises:
        ValueError: there are fewer.
    """
    size = stored_size(storage, count)
    if len(content) < size:
        raise ValueError(f"cut short: {len(content)} bytes of signals, {size} are needed")
    raw = np.frombuffer(content, np.uint8, size)
    if storage == 212:
        return _twelve_bits(raw, count)
    if storage == 24:
        return integers(raw.reshape(-1, 3))
    if storage in (80, 160):
        return raw.view({80: "u1", 160: "<u2"}[storage]).astype(np.int32) + MISSING[storage]
    return raw.view({16: "<i2", 61: ">i2", 32: "<i4"}[storage]).astype(np.int32)


def _twelve_bits(raw: Array, count: int) -> Array:
    """Pairs of 12-bit values in three bytes: the low bytes of both are the first and third."""
    padded = np.zeros(-(-count // 2) * 3, np.uint8)
    padded[: len(raw)] = raw
    low, middle, high = padded.reshape(-1, 3).astype(np.int32).T
    values: Array = np.stack([low | (middle & 0x0F) << 8, high | (middle & 0xF0) << 4], axis=1).ravel()[:count]
    values -= (values & 0x800) << 1
    return values


def _physical(stored: Array, signal: Signal) -> Array:
    if signal.checksum is not None and int(stored.sum(dtype=np.int64)) % (1 << 16) != signal.checksum:
        raise ValueError("a WFDB signal whose checksum differs: damaged")
    values = ((stored.astype(np.float64) - signal.baseline) / signal.gain).astype(np.float32)
    values[stored == MISSING[signal.storage]] = np.nan
    return values
