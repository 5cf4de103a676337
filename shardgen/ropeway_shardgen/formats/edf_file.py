"""An open EDF or BDF file, with gaps or without, as the `edf` adapter uses it."""

from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from ropeway.decoders.libraries import require

Array: TypeAlias = npt.NDArray[Any]
Mark: TypeAlias = tuple[float, str]
"""When something is annotated (s), and what."""


class Signal(NamedTuple):
    """What a header says of one signal. Physical ends are in `unit`, and correspond to the digital ones."""

    label: str
    unit: str
    rate: float
    physical: tuple[float, float]
    digital: tuple[int, int]

    @property
    def scale(self) -> float:
        """Units per stored integer."""
        return (self.physical[1] - self.physical[0]) / (self.digital[1] - self.digital[0])

    @property
    def offset(self) -> float:
        """The value in `unit` of the stored integer 0."""
        return self.physical[0] - self.digital[0] * self.scale


class Run(NamedTuple):
    """A stretch without a gap: its first value, the one after its last, and when it began (s)."""

    first: int
    stop: int
    start: float


class EdfFile(Protocol):
    """An open file. Signals are numbered in the order of `signals`, which has no annotations among them."""

    signals: list[Signal]
    marks: list[Mark]

    def runs(self, number: int) -> list[Run]:
        """The stretches of a signal without gaps."""
        ...

    def values(self, number: int, first: int, size: int, *, stored: bool) -> Array:
        """Values of a signal, as stored or in its unit; fewer where the recording ends."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


class PlainFile:
    """A file without gaps, read by pyEDFlib."""

    def __init__(self, path: Path) -> None:
        self._reader: Any = require("pyedflib", "edf").EdfReader(str(path))
        if not self._reader.datarecord_duration > 0:
            raise ValueError("records of 0 s: damaged")
        self.signals = [
            Signal(
                label=str(head["label"]).strip(),
                unit=str(head["dimension"]).strip(),
                rate=float(head["sample_frequency"]),
                physical=(float(head["physical_min"]), float(head["physical_max"])),
                digital=(int(head["digital_min"]), int(head["digital_max"])),
            )
            for head in self._reader.getSignalHeaders()
        ]
        onsets, _, words = self._reader.readAnnotations()
        self.marks: list[Mark] = list(zip(onsets.tolist(), words.tolist(), strict=True))

    def runs(self, number: int) -> list[Run]:
        """All of it."""
        return [Run(0, int(self._reader.getNSamples()[number]), 0.0)]

    def values(self, number: int, first: int, size: int, *, stored: bool) -> Array:
        """Values of a signal."""
        return np.asarray(self._reader.readSignal(number, first, size, digital=stored))

    def close(self) -> None:
        """Close the file."""
        self._reader.close()
