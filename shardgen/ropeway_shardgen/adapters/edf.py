"""EDF, EDF+ and BDF recordings cut into windows."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ropeway.decoders.libraries import require
from ropeway_shardgen.adapters.adapter import Adapter, Options, Payload, Row, array_payload
from ropeway_shardgen.adapters.opened import Opened
from ropeway_shardgen.fields import Fields, lookup


class EdfOptions(Options, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which signals, and how they are cut."""

    seconds: float
    """Length of a window. What is left after the last whole window is not packed."""
    channels: tuple[str, ...] = ()
    """Signal labels, in the order wanted; none given: all. They must have one sampling rate and one unit."""
    values: Literal["stored", "physical"] = "physical"
    """Stored integers (`scale` and `offset` make them physical), or float32 in the unit."""


class Recording:
    """An opened file and its signals' headers."""

    def __init__(self, path: Path) -> None:
        self.reader: Any = require("pyedflib", "edf").EdfReader(str(path))
        self.signals: list[dict[str, Any]] = self.reader.getSignalHeaders()

    def close(self) -> None:
        """Close the file."""
        self.reader.close()

    def chosen(self, options: EdfOptions) -> list[int]:
        """Numbers of the chosen signals."""
        labels = [str(signal["label"]).strip() for signal in self.signals]
        missing = [name for name in options.channels if name not in labels]
        if missing:
            raise ValueError(f"there is no signal {missing[0]!r}; there is: {', '.join(labels)}")
        return [labels.index(name) for name in options.channels or labels]

    def one(self, numbers: list[int], name: str) -> Any:
        """What all chosen signals must have in common."""
        values = {self.signals[number][name] for number in numbers}
        if len(values) != 1:
            raise ValueError(f"signals with different {name} ({', '.join(map(str, sorted(values)))}): choose channels")
        return values.pop()


_OPENED = Opened(Recording)


def rows(path: Path, options: EdfOptions) -> Iterator[Row]:
    """One row per whole window: `window` (from 0), `start` (seconds), `sampling_rate`, `annotations`, and `patient`.

    `annotations` are the words annotated in the window, joined by `;`.
    """
    recording = _OPENED.get(path)
    numbers = recording.chosen(options)
    rate = float(recording.one(numbers, "sample_frequency"))
    size = _window(rate, options.seconds)
    onsets, _, words = recording.reader.readAnnotations()
    marks = list(zip(onsets.tolist(), words.tolist(), strict=True))
    fields = {"sampling_rate": rate, "patient": recording.reader.getPatientCode() or None}
    for window in range(min(int(recording.reader.getNSamples()[number]) for number in numbers) // size):
        start, stop = window * size / rate, (window + 1) * size / rate
        inside = ";".join(word for onset, word in marks if start <= onset < stop)
        row = {**fields, "window": window, "start": start, "annotations": inside or None}
        yield Row(row, size * len(numbers) * 4)


def read(path: Path, fields: Fields, options: EdfOptions) -> Payload:
    """One window, [channel, time]."""
    recording = _OPENED.get(path)
    numbers = recording.chosen(options)
    rate = float(recording.one(numbers, "sample_frequency"))
    units = str(recording.one(numbers, "dimension"))
    size = _window(rate, options.seconds)
    start = int(lookup(fields, "window") or 0) * size
    stored = options.values == "stored"
    dtype = np.float32 if not stored else np.int16 if recording.one(numbers, "digital_max") < 2**15 else np.int32
    values = np.empty((len(numbers), size), dtype)
    for row, number in enumerate(numbers):
        signal = recording.reader.readSignal(number, start, size, digital=stored)
        if len(signal) != size:
            raise ValueError(f"the recording ends inside the window that starts at {start / rate:g} s")
        values[row] = signal
    return array_payload(
        values,
        ("channel", "time"),
        units="" if stored else units,
        sampling_rate=rate,
        channels=tuple(str(recording.signals[number]["label"]).strip() for number in numbers),
        fields=_scaling(recording, numbers, units) if stored else {"units": units},
    )


def _scaling(recording: Recording, numbers: list[int], units: str) -> dict[str, str | float]:
    low, high = (float(recording.one(numbers, name)) for name in ("physical_min", "physical_max"))
    first, last = (int(recording.one(numbers, name)) for name in ("digital_min", "digital_max"))
    scale = (high - low) / (last - first)
    return {"scale": scale, "offset": low - first * scale, "units": units}


def _window(rate: float, seconds: float) -> int:
    size = round(rate * seconds)
    if size < 1 or abs(size - rate * seconds) > 1e-6:
        raise ValueError(f"a window of {seconds} s is not a whole number of values at {rate} Hz")
    return size


ADAPTER = Adapter(options=EdfOptions, read=read, rows=rows, locators=lambda _: ("window",), identifiers=("patient",))
