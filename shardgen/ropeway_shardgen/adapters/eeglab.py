"""EEGLAB datasets (.set, with or without a .fdt beside it): a window at each time that a table gives.

Format: https://eeglab.org/tutorials/ConceptsGuide/Data_Structures.html. A .set is a MATLAB file with the struct EEG or,
from version 2021 on, with its fields; `data` is the signal or the name of a .fdt of float32 values.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ropeway_shardgen.adapters.adapter import Adapter, Options, Payload, array_payload
from ropeway_shardgen.adapters.opened import Opened
from ropeway_shardgen.fields import Fields, lookup
from ropeway_shardgen.formats import eeglab_blank
from ropeway_shardgen.formats.mat_file import MatFile

Array: TypeAlias = npt.NDArray[Any]


class EeglabOptions(Options, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where a window lies, and what is in it."""

    seconds: float
    """Length of a window."""
    before: float = 0.0
    """Seconds of a window before the time that the field `onset` (s) gives."""
    channels: tuple[str, ...] = ()
    """Names, in the order wanted; none given: all."""
    units: str = "uV"


class Recording:
    """An opened dataset: sampling rate (Hz), channel names and values [channel, time]."""

    def __init__(self, path: Path) -> None:
        with MatFile(path) as file:
            fields = "EEG." if file.has("EEG") else ""
            number, length, trials = (
                int(file.array(f"{fields}{name}").item()) for name in ("nbchan", "pnts", "trials")
            )
            if trials != 1:
                raise ValueError(f"a dataset of {trials} trials: a continuous one is read")
            self.rate = float(file.array(f"{fields}srate").item())
            self.names = file.column(f"{fields}chanlocs", "labels")
            beside = path.with_suffix(".fdt")
            self.values = _beside(beside, number, length) if beside.exists() else file.array(f"{fields}data")
        if self.values.shape != (number, length) or len(self.names) != number:
            raise ValueError(f"values of shape {self.values.shape} and {len(self.names)} names for {number} x {length}")

    def close(self) -> None:
        """Let go of the values."""
        self.values = np.empty((0, 0))


_OPENED = Opened(Recording, limit=2)


def companions(path: Path, _options: EeglabOptions) -> Iterable[Path]:
    """The .fdt, if there is one."""
    return [path.with_suffix(".fdt")] if path.with_suffix(".fdt").exists() else []


def read(path: Path, fields: Fields, options: EeglabOptions) -> Payload:
    """A window, [channel, time], in the dtype of the file."""
    recording = _OPENED.get(path)
    missing = [name for name in options.channels if recording.names.count(name) != 1]
    if missing:
        raise ValueError(f"there is no channel {missing[0]!r}; there is: {', '.join(recording.names)}")
    size = round(options.seconds * recording.rate)
    first = round((float(lookup(fields, "onset") or 0.0) - options.before) * recording.rate)
    if first < 0 or first + size > recording.values.shape[1]:
        raise ValueError(f"the window from {first / recording.rate:g} s on does not lie in the recording")
    rows = [recording.names.index(name) for name in options.channels] or slice(None)
    return array_payload(
        np.asarray(recording.values[rows, first : first + size]),
        ("channel", "time"),
        units=options.units,
        sampling_rate=recording.rate,
        channels=options.channels or tuple(recording.names),
    )


def _beside(path: Path, number: int, length: int) -> Array:
    if path.stat().st_size != number * length * 4:
        raise ValueError(f"{path.name} has {path.stat().st_size} bytes, {number * length * 4} are needed")
    return np.memmap(path, "<f4", "r", shape=(number, length), order="F")


def _raw(path: Path, _key: bytes, _parts: Sequence[EeglabOptions]) -> Payload:
    recording = _OPENED.get(path)
    return eeglab_blank.kept(recording.rate, recording.names, recording.values)


ADAPTER = Adapter(options=EeglabOptions, read=read, locators=lambda _: ("onset",), companions=companions, raw=_raw)
