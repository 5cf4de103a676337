"""Records of events in time bins (EHR) as a model takes them: filled up, or as a line of text."""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from ropeway.decode import Decoder, decode_npy
from ropeway.errors import UsageError
from ropeway.manifest import Part
from ropeway.samples import Array


@dataclass(frozen=True, slots=True)
class Filled:
    """Values without gaps: float32 (time, feature). What was not observed keeps the last value before it.

    Attributes:
        before: stands where nothing has been observed yet.
    """

    before: float = 0.0

    def of(self, part: Part) -> tuple[Decoder, Part]:
        _check(self, part)
        return Decoder(partial(_filled, before=self.before), heavy=True), replace(part, dtype="<f4")


@dataclass(frozen=True, slots=True)
class LastValues:
    """The last observed value of each feature as one line, `Heart Rate 88; Glucose 6.1`, in the part's order.

    CLIMB gives its text encoder such a line of each stay. Features that were never observed are left out.

    Attributes:
        digits: significant ones of a value.
    """

    digits: int = 4

    def of(self, part: Part) -> tuple[Decoder, Part]:
        _check(self, part)
        if not part.channels:
            raise UsageError(f"part {part.name!r} does not name its features, or they differ between samples")
        decode = partial(_line, names=part.channels, digits=self.digits)
        return Decoder(decode), replace(part, dtype=None, shape=None, axes=())


def _filled(content: memoryview, before: float) -> Array:
    values = decode_npy(content).astype(np.float32)
    seen = np.where(np.isnan(values), -1, np.arange(len(values))[:, None])
    last = np.maximum.accumulate(seen, axis=0)
    filled = np.take_along_axis(values, last.clip(0), axis=0)
    return np.where(last < 0, np.float32(before), filled)


def _line(content: memoryview, names: tuple[str, ...], digits: int) -> str:
    values = decode_npy(content)
    words = []
    for name, column in zip(names, values.T, strict=True):
        observed = column[~np.isnan(column)]
        if len(observed):
            words.append(f"{name} {float(observed[-1]):.{digits}g}")
    return "; ".join(words)


def _check(reading: Filled | LastValues, part: Part) -> None:
    if part.format != "npy" or (part.shape is not None and len(part.shape) != 2):
        raise UsageError(
            f"{type(reading).__name__} can't read part {part.name!r}: it takes npy arrays of time bins and features"
        )
