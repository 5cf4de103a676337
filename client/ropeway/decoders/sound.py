"""WAV: PCM of 8, 16, 24, 32 bits and floats, as stored. The sampling rate is the manifest's to say."""

import io
import struct
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from ropeway.decoders.layout import Layout, integers, read_exactly
from ropeway.samples import Array

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_TYPES: dict[tuple[int, int], tuple[str, tuple[int, ...]]] = {
    (_PCM, 8): ("|u1", ()), (_PCM, 16): ("<i2", ()), (_PCM, 24): ("|u1", (3,)), (_PCM, 32): ("<i4", ()),
    (_FLOAT, 32): ("<f4", ()), (_FLOAT, 64): ("<f8", ()),
}  # fmt: skip
"""Of encoding and bits: dtype, and the shape of one value."""


@dataclass(frozen=True, slots=True)
class Wav:
    """What a WAV file's header says.

    Attributes:
        rate: Hz.
        layout: of the values, (times, channels); for 24 bits of their bytes, uint8 (times, channels, 3).
    """

    rate: float
    layout: Layout


def decode_wav(content: memoryview) -> Array:
    """(channels, times): uint8 for 8 bits, int16, int32 for 24 and 32 bits, or floats; not scaled."""
    return channels_first(wav_header(io.BytesIO(content)).layout.whole(content))


def channels_first(values: Array) -> Array:
    """Values (times, channels[, bytes]) as they lie in a file, as (channels, times)."""
    return np.array((integers(values) if values.ndim == 3 else values).T, order="C")


def wav_header(file: BinaryIO) -> Wav:
    """Walk the chunks of a file up to its samples.

    Raises:
        ValueError: it is no WAV file, or of an encoding other than those above.
    """
    riff = read_exactly(file, 0, 12)
    if riff[:4] != b"RIFF" or riff[8:] != b"WAVE":
        raise ValueError("not a WAV file")
    at, form = 12, b""
    while True:
        name, size = struct.unpack("<4sI", read_exactly(file, at, 8))
        if name == b"fmt ":
            form = read_exactly(file, at + 8, min(size, 40))
        elif name == b"data":
            return _described(form, at + 8, size)
        at += 8 + size + size % 2


def _described(form: bytes, offset: int, size: int) -> Wav:
    if len(form) < 16:
        raise ValueError("a WAV file whose format comes after its samples, or not at all")
    encoding, channels, rate, _, frame, bits = struct.unpack("<HHIIHH", form[:16])
    if encoding == _EXTENSIBLE and len(form) >= 26:
        encoding = int.from_bytes(form[24:26], "little")
    dtype, inner = _TYPES.get((encoding, bits), ("|u1", (0,)))
    if not channels or frame != channels * bits // 8 or size % frame or 0 in inner:
        raise ValueError(f"WAV encoding {encoding} of {bits} bits, {channels} channels in {frame} bytes, is not read")
    return Wav(float(rate), Layout(offset, np.dtype(dtype), (size // frame, channels, *inner)))
