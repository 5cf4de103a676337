"""Signals with the channels, rate and length that a model takes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from ropeway.decode import Decoder, decode_npy
from ropeway.errors import UsageError
from ropeway.manifest import Part

Floats = npt.NDArray[np.float32]

TWELVE_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
EIGHT_LEADS = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
LONGITUDINAL = (
    *("FP1-F7", "F7-T7", "T7-P7", "P7-O1", "FP2-F8", "F8-T8", "T8-P8", "P8-O2"),
    *("FP1-F3", "F3-C3", "C3-P3", "P3-O1", "FP2-F4", "F4-C4", "C4-P4", "P4-O2"),
)
"""The longitudinal bipolar montage ("double banana") without its midline, as BIOT orders it."""

_OLD_NAMES = {"T3": "T7", "T4": "T8", "T5": "P7", "T6": "P8"}
"""Electrodes by their names of before 1991 (American Electroencephalographic Society, guidelines for nomenclature)."""


@dataclass(frozen=True, slots=True)
class Leads:
    """Chosen leads of an ECG: float32 (leads, rate × seconds), divided by the record's range.

    Missing values (NaN, or the smallest number of an integer dtype: so records of WFDB are stored) become 0; a record
    is resampled where its rate differs, cut after `seconds`, or filled up with zeros. The range is the largest minus
    the smallest value over all chosen leads, as in CLIMB's loaders, so that gain and unit do not matter where the
    leads of a record have one of each; a flat record stays zero.

    Attributes:
        names: leads in the order wanted, in whatever case.
        rate: Hz.
        seconds: how much of the record, from its beginning.
    """

    names: tuple[str, ...]
    rate: float
    seconds: float

    def of(self, part: Part) -> tuple[Decoder, Part]:
        _check(self, part)
        if not part.sampling_rate:
            raise UsageError(f"part {part.name!r} has no sampling rate that is the same in all samples")
        known = [name.upper() for name in part.channels]
        missing = [name for name in self.names if name.upper() not in known]
        if missing:
            raise UsageError(f"part {part.name!r} has no channel {missing[0]!r}; there is: {_listed(part)}")
        rows = [known.index(name.upper()) for name in self.names]
        length = round(self.rate * self.seconds)
        decode = partial(_leads, rows=rows, time=_time(part), factor=self.rate / part.sampling_rate, length=length)
        return Decoder(decode, heavy=True), _told(part, self.names, self.rate, length)


@dataclass(frozen=True, slots=True)
class Montage:
    """Differences between electrodes of an EEG window: float32 (pairs, values), each over its 95th percentile.

    A window is resampled to one number of values, so windows of one duration come out at one rate, whatever theirs was.
    Labels such as `EEG FP1-REF` and `T3` are understood. Missing values become 0. The scale is BIOT's, so that gain and
    unit do not matter; the electrodes of a window must have one.

    Attributes:
        pairs: `anode-cathode`, in the order wanted.
        values: how many: 2000 are ten seconds at 200 Hz.
        rate: Hz that they must come out at; windows that are known to last another time are refused. None: any.
    """

    pairs: tuple[str, ...]
    values: int
    rate: float | None = None

    def of(self, part: Part) -> tuple[Decoder, Part]:
        _check(self, part)
        known = [electrode(label) for label in part.channels]
        missing = [name for pair in self.pairs for name in pair.split("-") if name not in known]
        if missing:
            raise UsageError(f"part {part.name!r} has no electrode {missing[0]}; there is: {_listed(part)}")
        self._check_duration(part)
        rows = [[known.index(name) for name in pair.split("-")] for pair in self.pairs]
        decode = partial(_montage, rows=np.array(rows), time=_time(part), length=self.values)
        return Decoder(decode, heavy=True), _told(part, self.pairs, self.rate, self.values)

    def _check_duration(self, part: Part) -> None:
        stored = part.shape[_time(part)] if part.shape else None
        if self.rate is None or not stored or not part.sampling_rate:
            return
        seconds = stored / part.sampling_rate
        if round(seconds * self.rate) != self.values:
            raise UsageError(
                f"part {part.name!r} has windows of {seconds:g} s, which at {self.rate:g} Hz are not {self.values} "
                f"values: take Montage(pairs, values={round(seconds * self.rate)})"
            )


def electrode(label: str) -> str:
    """The electrode that an EEG signal's label names, by its name of today: `EEG T3-LE` is `T7`."""
    name = re.sub(r"^EEG\s+|-(REF|LE|AR)$", "", label.strip().upper())
    return _OLD_NAMES.get(name, name)


def resampled(values: Floats, length: int) -> Floats:
    """Signals (…, time) with another number of values over the same time, by way of the Fourier series.

    As `scipy.signal.resample` does, which CLIMB uses: the spectrum is cut, or filled up with zeros.
    """
    before = values.shape[-1]
    if before == length:
        return values
    kept = min(before, length)
    cut = np.fft.rfft(values, axis=-1)[..., : kept // 2 + 1]
    if kept % 2 == 0:  # the highest frequency stands for itself and its mirror image, and one of them went or came
        cut[..., -1] *= 2 if length < before else 0.5
    found: Floats = np.fft.irfft(cut, length, axis=-1).astype(np.float32) * np.float32(length / before)
    return found


def _leads(content: memoryview, rows: Sequence[int], time: int, factor: float, length: int) -> Floats:
    stored = decode_npy(content)
    values = _channels(stored, time)[list(rows)]
    if stored.dtype.kind == "i":
        values[np.moveaxis(stored, time, 1)[list(rows)] == np.iinfo(stored.dtype).min] = 0
    values = resampled(values, round(values.shape[1] * factor))[:, :length]
    reach = float(values.max() - values.min()) if values.size else 0.0
    filled = np.zeros((len(rows), length), np.float32)
    filled[:, : values.shape[1]] = values / (reach or 1.0)
    return filled


def _montage(content: memoryview, rows: npt.NDArray[Any], time: int, length: int) -> Floats:
    values = _channels(decode_npy(content), time)
    pairs = resampled(values[rows[:, 0]] - values[rows[:, 1]], length)
    scale = np.quantile(np.abs(pairs), 0.95, axis=1, keepdims=True)
    scaled: Floats = (pairs / np.where(scale > 0, scale, 1)).astype(np.float32)
    return scaled


def _channels(values: npt.NDArray[Any], time: int) -> Floats:
    """The signals as float32 (channel, time), without NaN."""
    if values.ndim != 2:
        raise ValueError(f"signals of {values.ndim} dimensions, not channel and time")
    return np.nan_to_num(np.moveaxis(values, time, 1).astype(np.float32), copy=False)


def _check(reading: Leads | Montage, part: Part) -> None:
    if part.format != "npy" or not part.channels:
        name = type(reading).__name__
        raise UsageError(
            f"{name} can't read part {part.name!r}: it takes npy signals whose channels have the same names in all "
            "samples"
        )


def _time(part: Part) -> int:
    """A part's axis of time."""
    return part.axes.index("time") if "time" in part.axes else 1


def _told(part: Part, channels: Sequence[str], rate: float | None, length: int) -> Part:
    shape = (len(channels), length)
    return replace(
        part, dtype="<f4", shape=shape, axes=("channel", "time"), sampling_rate=rate, channels=tuple(channels)
    )


def _listed(part: Part) -> str:
    return ", ".join(part.channels)
