"""Recordings with gaps (EDF+D, BDF+D), which pyEDFlib refuses: every data record says when it began.

Format: https://www.edfplus.info/specs/edfplus.html, sections 2.1 and 2.2.
"""

import math
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np

from ropeway.decoders.layout import integers
from ropeway_shardgen.formats.edf_file import Array, Mark, Run, Signal

_FIELDS = {"label": 16, "transducer": 80, "unit": 8, "physical_min": 8, "physical_max": 8, "digital_min": 8,
           "digital_max": 8, "filter": 80, "values": 8, "reserved": 32}  # fmt: skip
"""What a header says of each signal, and in how many characters."""


def has_gaps(head: bytes) -> bool:
    """Whether the first 256 bytes of a file say that its records need not follow each other."""
    return head[192:197] in (b"EDF+D", b"BDF+D")


class GappedFile:
    """An open recording with gaps.

    Raises:
        ValueError: it is cut short, or a record does not say when it began.
    """

    def __init__(self, path: Path) -> None:
        content = np.memmap(path, np.uint8, "r")
        head = content[:256].tobytes()
        number, count, self._seconds = int(head[252:256]), int(head[236:244]), float(head[244:252])
        if number < 1 or len(content) < 256 * (1 + number):
            raise ValueError(f"cut short: a header of {number} signals in {len(content)} bytes")
        told = _columns(content[256 : 256 * (1 + number)].tobytes(), number)
        if min(int(signal["values"]) for signal in told) < 1:
            raise ValueError("a signal without values: damaged")
        ends = np.cumsum([0, *(int(signal["values"]) for signal in told)]).tolist()
        size, first = 3 if head[0] == 0xFF else 2, 256 * (1 + number)
        needed = first + count * ends[-1] * size
        if count < 1 or not 0 < self._seconds < math.inf or len(content) < needed:
            raise ValueError(f"cut short: {count} records of {self._seconds:g} s, {len(content)} of {needed} bytes")
        self._records: Array = content[first:needed].reshape(count, ends[-1], size)
        self._places: list[slice] = []
        self.signals: list[Signal] = []
        notes: list[slice] = []
        for signal, (start, stop) in zip(told, pairwise(ends), strict=True):
            if signal["label"] in ("EDF Annotations", "BDF Annotations"):
                notes.append(slice(start, stop))
            else:
                self._places.append(slice(start, stop))
                self.signals.append(_signal(signal, (stop - start) / self._seconds))
        self._began, self.marks = _annotations(self._records, notes)

    def runs(self, number: int) -> list[Run]:
        """The stretches of a signal without gaps."""
        size, count = self._places[number].stop - self._places[number].start, len(self._began)
        steps = np.abs(np.diff(self._began) - self._seconds)
        edges = [0, *(np.flatnonzero(steps > 1e-6) + 1).tolist(), count]
        return [Run(first * size, stop * size, self._began[first]) for first, stop in pairwise(edges)]

    def values(self, number: int, first: int, size: int, *, stored: bool) -> Array:
        """Values of a signal, gaps left out."""
        place, signal = self._places[number], self.signals[number]
        each = place.stop - place.start
        records = self._records[first // each : -(-(first + size) // each), place]
        found = integers(np.ascontiguousarray(records)).ravel()[first % each :][:size]
        return found if stored else found * signal.scale + signal.offset

    def close(self) -> None:
        """Let go of the file."""
        del self._records


def _columns(head: bytes, number: int) -> list[dict[str, str]]:
    found: list[dict[str, str]] = [{} for _ in range(number)]
    at = 0
    for name, width in _FIELDS.items():
        for signal in found:
            signal[name] = head[at : at + width].decode("latin1").strip()
            at += width
    return found


def _signal(told: dict[str, str], rate: float) -> Signal:
    low, high = float(told["physical_min"]), float(told["physical_max"])
    digital = int(told["digital_min"]), int(told["digital_max"])
    if low == high or digital[0] == digital[1]:
        raise ValueError(f"signal {told['label']!r} has no scale")
    return Signal(told["label"], told["unit"], rate, (low, high), digital)


def _annotations(records: Array, places: Iterable[slice]) -> tuple[list[float], list[Mark]]:
    """When each record began, and what else is annotated, when."""
    began: list[float] = []
    marks: list[Mark] = []
    for number, record in enumerate(records):
        lists = [note for place in places for note in record[place].tobytes().split(b"\0") if note]
        if not lists:
            raise ValueError(f"record {number} of a recording with gaps does not say when it began")
        for place, note in enumerate(lists):
            onset, *words = note.split(b"\x14")
            at = float(onset.partition(b"\x15")[0])
            if place == 0:
                began.append(at)
            marks += [(at, word.decode("utf-8")) for word in words if word]
    return began, marks
