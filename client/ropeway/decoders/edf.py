"""EDF, EDF+ and BDF recordings, whole or the data records that a window lies in."""

import io
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from ropeway.decoders.layout import Layout, integers, read_exactly
from ropeway.samples import Array

_HEAD = 8192
"""Bytes of the header of up to 31 signals."""

_FIELDS = {"label": 16, "transducer": 80, "unit": 8, "physical_min": 8, "physical_max": 8, "digital_min": 8,
           "digital_max": 8, "filter": 80, "values": 8, "reserved": 32}  # fmt: skip
"""What a header says of each signal, and in how many characters."""


@dataclass(frozen=True, slots=True)
class Signal:
    """One signal's place in a data record, and its scaling.

    Attributes:
        first, values: where in a record it begins, and how many values it has there.
        scale, offset: value in the signal's unit = stored integer · scale + offset.
    """

    label: str
    first: int
    values: int
    scale: float
    offset: float


@dataclass(frozen=True, slots=True)
class Recording:
    """What a file's header says.

    Attributes:
        signals: without annotations.
        seconds: of a data record.
        layout: of the stored integers' bytes: uint8 (records, values of all signals, bytes of a value).
    """

    signals: tuple[Signal, ...]
    seconds: float
    layout: Layout

    def chosen(self, channels: tuple[str, ...]) -> list[Signal]:
        """The signals of these labels, in that order, or all; of one sampling rate."""
        named = {signal.label: signal for signal in self.signals}
        missing = [name for name in channels if name not in named]
        if missing:
            raise ValueError(f"there is no signal {missing[0]!r}; there is: {', '.join(named)}")
        chosen = [named[name] for name in channels] or list(self.signals)
        if len({signal.values for signal in chosen}) != 1:
            raise ValueError(
                "no signals of one sampling rate: choose some with functools.partial(decode_edf, channels=…)"
            )
        return chosen

    def rate(self, signals: list[Signal]) -> float:
        """Hz."""
        return signals[0].values / self.seconds if self.seconds else 0.0


def decode_edf(content: memoryview, channels: tuple[str, ...] = ()) -> Array:
    """A recording in the signals' own units.

    Args:
        content: of an EDF, EDF+ or BDF file.
        channels: signal labels, in the order wanted; none given: all.

    Returns:
        float32 (channels, times), without annotations.
    """
    recording = edf_header(io.BytesIO(content))
    return physical(recording.layout.whole(content), recording.chosen(channels))


def physical(records: Array, signals: list[Signal]) -> Array:
    """Values in units, float32 (signals, times), of data records, uint8 (records, values, bytes of a value)."""
    together = np.empty((len(signals), len(records) * signals[0].values), np.float32)
    for row, signal in zip(together, signals, strict=True):
        stored = integers(records[:, signal.first : signal.first + signal.values]).ravel()
        row[:] = stored * signal.scale + signal.offset
    return together


def edf_header(file: BinaryIO) -> Recording:
    """Read a header.

    Raises:
        ValueError: it is none, or the recording has gaps (EDF+D) or was never finished.
    """
    file.seek(0)
    head = file.read(_HEAD)
    if head[:8] not in (b"0       ", b"\xffBIOSEMI") or len(head) < 256:
        raise ValueError("not an EDF or BDF file")
    size = 3 if head[0] == 0xFF else 2
    if head[192:197] in (b"EDF+D", b"BDF+D"):
        raise ValueError("a recording with gaps (EDF+D), which one array can't hold")
    length, count, seconds, signals = (head[184:192], head[236:244], head[244:252], head[252:256])
    number, records = int(signals), int(count)
    if number < 1 or records < 0 or int(length) != 256 * (1 + number):
        raise ValueError(f"an EDF header of {number} signals, {records} records, {int(length)} bytes")
    if len(head) < 256 * (1 + number):
        head += read_exactly(file, len(head), 256 * (1 + number) - len(head))
    found, values = _signals(head[256 : 256 * (1 + number)], number)
    layout = Layout(256 * (1 + number), np.dtype(np.uint8), (records, values, size))
    return Recording(found, float(seconds), layout)


def _signals(head: bytes, number: int) -> tuple[tuple[Signal, ...], int]:
    """All but annotations, and how many values a record has."""
    columns, at = {}, 0
    for name, width in _FIELDS.items():
        block = head[at : at + number * width].decode("latin1")
        columns[name] = [block[start : start + width].strip() for start in range(0, len(block), width)]
        at += number * width
    found, first = [], 0
    for place, label in enumerate(columns["label"]):
        values = int(columns["values"][place])
        if values < 0:
            raise ValueError(f"signal {label!r} has {values} values in a record")
        if label not in ("EDF Annotations", "BDF Annotations"):
            low, high = (float(columns[name][place]) for name in ("physical_min", "physical_max"))
            bottom, top = (int(columns[name][place]) for name in ("digital_min", "digital_max"))
            if bottom == top or low == high:
                raise ValueError(f"signal {label!r} has no scale")
            scale = (high - low) / (top - bottom)
            found.append(Signal(label, first, values, scale, low - bottom * scale))
        first += values
    return tuple(found), first
