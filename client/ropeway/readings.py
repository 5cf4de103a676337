"""Which bit of a part is wanted, where it is not all of it: a loader's `parts={"ct": Slab(10, 26), "note": Whole()}`.

A reading is a value. It says for a part how that bit is decoded and what comes out. Where the format allows it, only
the bytes of that bit are fetched; a picture has to be there whole, but is decoded no larger than needed.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, BinaryIO, Protocol, TypeAlias

from ropeway.decode import DECODERS, VIDEOS, Decoder, FileDecoder, find
from ropeway.decoders.arrays import npy_layout
from ropeway.decoders.edf import edf_header, physical
from ropeway.decoders.nifti import nifti_header
from ropeway.decoders.pictures import decode_picture
from ropeway.decoders.scaled import Fit, decode_scaled
from ropeway.decoders.sound import channels_first, wav_header
from ropeway.decoders.video import decode_clip
from ropeway.errors import UsageError
from ropeway.manifest import Part
from ropeway.samples import Array

Shape: TypeAlias = tuple[int | None, ...]


class Reading(Protocol):
    """A bit of a part."""

    def of(self, part: Part) -> tuple[Decoder | FileDecoder, Part]:
        """How the bit is decoded, and what comes out (shape, dtype; open where the part leaves it open).

        Raises:
            UsageError: this bit can't be read of such a part, or lies outside the shape that its manifest declares.
        """
        ...


@dataclass(frozen=True, slots=True)
class Whole:
    """All of a part, by the built-in decoder."""

    def of(self, part: Part) -> tuple[Decoder | FileDecoder, Part]:
        return find(part.name, part.format, {}), part


@dataclass(frozen=True, slots=True)
class Slab:
    """Slices of an npy array or an uncompressed NIfTI volume: `whole[start:stop]`, or the same along another axis.

    Along the axis that changes slowest (the first of an npy array, the last of a NIfTI volume) that is one contiguous
    read; along others one read per piece, and what lies between pieces is read over where that is less than 64 KiB. A
    sample that ends before `stop` is a bad sample.

    Attributes:
        start, stop: places along the axis, from 0; `stop` is excluded.
        axis: counted from 0; negative from the end.
    """

    start: int
    stop: int
    axis: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.stop:
            raise UsageError(f"a slab from {self.start} to {self.stop}: 0 <= start < stop is needed")

    def of(self, part: Part) -> tuple[Decoder | FileDecoder, Part]:
        _check_format(self, part, ("npy", "nii"))
        read = self._npy if part.format == "npy" else self._nifti
        return FileDecoder(read), replace(part, shape=self._shape(part))

    def _shape(self, part: Part) -> Shape | None:
        if part.shape is None:
            return None
        if not -len(part.shape) <= self.axis < len(part.shape):
            raise UsageError(f"part {part.name!r} has no axis {self.axis}: its shape is {part.shape}")
        return _cut(part, self.axis % len(part.shape), self.start, self.stop)

    def _npy(self, file: BinaryIO) -> Array:
        return npy_layout(file).slab(file, self.axis, self.start, self.stop)

    def _nifti(self, file: BinaryIO) -> Array:
        volume = nifti_header(file)
        return volume.values(volume.layout.slab(file, self.axis, self.start, self.stop))


@dataclass(frozen=True, slots=True)
class Window:
    """A time window of a signal (npy, wav, edf, bdf).

    It begins at the value nearest to `start` and has `stop − start` times the sampling rate of values, rounded: equally
    many wherever it begins. An npy array's axis of time is the one its part's `axes` call `time`, else the last; its
    sampling rate is the part's. wav and edf files say their own. A sample that ends before `stop` is a bad sample.

    Attributes:
        start, stop: seconds.
    """

    start: float
    stop: float

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.stop:
            raise UsageError(f"a window from {self.start} s to {self.stop} s: 0 <= start < stop is needed")

    def of(self, part: Part) -> tuple[Decoder | FileDecoder, Part]:
        _check_format(self, part, ("npy", "wav", "edf", "bdf"))
        axis = part.axes.index("time") if "time" in part.axes and part.format == "npy" else -1
        decoder = FileDecoder(self._wav if part.format == "wav" else self._edf)
        if part.format == "npy":
            if not part.sampling_rate:
                raise UsageError(
                    f"part {part.name!r} has no sampling rate in its manifest: take ropeway.Slab(…, axis=-1)"
                )
            decoder = FileDecoder(partial(self._npy, rate=part.sampling_rate, axis=axis))
        if part.format in ("edf", "bdf"):
            part = replace(part, dtype="<f4")
        if part.shape is None or not part.sampling_rate:
            return decoder, replace(part, shape=part.shape and (*part.shape[:-1], None))
        return decoder, replace(part, shape=_cut(part, axis % len(part.shape), *self._places(part.sampling_rate)))

    def _places(self, rate: float) -> tuple[int, int]:
        """First value, and the one after the last."""
        first, count = round(self.start * rate), round((self.stop - self.start) * rate)
        if not count:
            raise UsageError(f"there is no value between {self.start} s and {self.stop} s at {rate:g} Hz")
        return first, first + count

    def _npy(self, file: BinaryIO, rate: float, axis: int) -> Array:
        return npy_layout(file).slab(file, axis, *self._places(rate))

    def _wav(self, file: BinaryIO) -> Array:
        header = wav_header(file)
        return channels_first(header.layout.slab(file, 0, *self._places(header.rate)))

    def _edf(self, file: BinaryIO) -> Array:
        recording = edf_header(file)
        signals = recording.chosen(())
        first, stop = self._places(recording.rate(signals))
        values = signals[0].values
        records = recording.layout.slab(file, 0, first // values, -(-stop // values))
        skipped = first - first // values * values
        return physical(records, signals)[:, skipped : skipped + stop - first]


@dataclass(frozen=True, slots=True)
class Clip:
    """Frames of a video, RGB uint8 (frames, height, width, 3), reading from the key frame before the first on.

    A video that ends before the last frame wanted is a bad sample, and so is one whose frames come at an uneven rate.

    Attributes:
        start: number of the first frame, from 0.
        frames: how many.
        every: 1 takes frames as they follow each other, 2 every second, …
    """

    start: int
    frames: int
    every: int = 1

    def __post_init__(self) -> None:
        if self.start < 0 or self.frames < 1 or self.every < 1:
            raise UsageError(f"{self}: start >= 0, frames >= 1 and every >= 1 are needed")

    def of(self, part: Part) -> tuple[Decoder | FileDecoder, Part]:
        _check_format(self, part, VIDEOS)
        numbers = range(self.start, self.start + self.frames * self.every, self.every)
        decoder = FileDecoder(partial(decode_clip, form=part.format, numbers=numbers))
        if part.shape is None or len(part.shape) != 4:
            return decoder, replace(part, dtype="|u1", shape=(self.frames, None, None, 3))
        _cut(part, 0, self.start, numbers[-1] + 1)
        return decoder, replace(part, dtype="|u1", shape=(self.frames, *part.shape[1:3], 3))


@dataclass(frozen=True, slots=True)
class Image:
    """A picture brought to one size, so that pictures of all sizes make a batch.

    A JPEG is scaled down while it is decoded, to the smallest multiple of 1/8 that is not below the size, which is
    several times as fast for large ones; then everything is resampled, bicubic and antialiased. dtype and channels stay
    as stored: 16-bit grey stays 16-bit grey. Not for label masks, whose values must not be blended.

    Attributes:
        size: height and width, or one number for both.
        fit: what happens to the proportions: "stretch" ignores them; "crop" fills the size and cuts off what is beyond
            on both sides; "pad" fits the picture into the size and puts zeros on both sides.
    """

    size: int | tuple[int, int]
    fit: Fit = "stretch"

    def __post_init__(self) -> None:
        if min(self._sides) < 1 or self.fit not in ("stretch", "crop", "pad"):
            raise UsageError(f"{self}: size >= 1 and fit 'stretch', 'crop' or 'pad' are needed")

    @property
    def _sides(self) -> tuple[int, int]:
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    def of(self, part: Part) -> tuple[Decoder | FileDecoder, Part]:
        decoders: dict[str, Any] = {form: found for form, found in DECODERS.items() if found.decode is decode_picture}
        _check_format(self, part, tuple(decoders))
        jpeg = part.format in ("jpg", "jpeg")
        shape: Shape | None = None
        if part.shape is not None and len(part.shape) in (2, 3):
            channels = tuple(3 if jpeg and bands == 4 else bands for bands in part.shape[2:])  # CMYK becomes RGB
            shape = (*self._sides, *channels)
        decode = partial(decode_scaled, size=self._sides, fit=self.fit)
        return Decoder(decode, heavy=True), replace(part, dtype="|u1" if jpeg else part.dtype, shape=shape)


def _check_format(reading: Reading, part: Part, formats: tuple[str, ...]) -> None:
    if part.format not in formats:
        name = type(reading).__name__
        raise UsageError(f"{name} can't read part {part.name!r} of format {part.format or 'that differs'!r}: it reads "
                         f"{', '.join(formats)}")  # fmt: skip


def _cut(part: Part, axis: int, start: int, stop: int) -> Shape:
    """The part's shape with one axis cut."""
    assert part.shape is not None
    length = part.shape[axis]
    if length is not None and stop > length:
        raise UsageError(f"part {part.name!r} has {length} values along axis {axis}, {start} to {stop} are asked for")
    return (*part.shape[:axis], stop - start, *part.shape[axis + 1 :])
