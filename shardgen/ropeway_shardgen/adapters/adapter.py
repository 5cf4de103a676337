"""What an adapter is: how one raw format is read.

An adapter does two things: say which samples a file holds (`rows`, from headers only), and read one of them (`read`).
It is small and dumb: encoded images are passed on byte for byte, everything else becomes a plain array as it was
stored; no resampling, no windowing for display, no labels.
"""

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from ropeway.index import Value
from ropeway_shardgen.fields import Fields

OptionsT = TypeVar("OptionsT", bound="Options")


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a recipe may tell an adapter; each format has its own."""


class Row(NamedTuple):
    """One sample that a raw file holds: its header-level fields, and about how many bytes it will have packed."""

    fields: Fields
    bytes: int | None = None


class Payload(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The content of one part of one sample, and what is needed to interpret it."""

    content: bytes
    format: str
    dtype: str | None = None
    shape: tuple[int, ...] | None = None
    axes: tuple[str, ...] = ()
    units: str = ""
    sampling_rate: float | None = None
    channels: tuple[str, ...] = ()
    fields: Fields = {}
    """Header-level fields of the file it came from, for metadata columns (`from = "part.field"`)."""


def alone(_file: Path, _options: Options) -> Iterable[Path]:
    """The companions of a file that is read by itself."""
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter(Generic[OptionsT]):
    """How one raw format is read.

    Attributes:
        options: what recipes may tell it.
        read: the payload of one sample, from a file (None for an adapter without `needs_file`) and the sample's fields.
        of_bytes: what `read` makes of a file's bytes, where it needs no more of the file: making a `Path` of its name
            takes as long as reading a small one.
        rows: the samples of a file; None for a format whose files say nothing before they are read.
        locators: the fields that `read` needs to find a sample, given the options.
        identifiers: fields of `rows` that name a person, study or object: pseudonyms replace them at once.
        needs_file: False where the fields are all there is to read.
        companions: further files that are read together with a file, such as the signal beside a header.
        raw: the original without identity, for `--keep-raw`, given the key that replaces its UIDs and the options of
            each part that is read from it; None where the payload is the file itself, or none is kept.
        kept_too: further files that an original is made of, and no part.
    """

    options: type[OptionsT]
    read: Callable[[Path, Fields, OptionsT], Payload]
    of_bytes: Callable[[bytes, OptionsT], Payload] | None = None
    rows: Callable[[Path, OptionsT], Iterator[Row]] | None = None
    locators: Callable[[OptionsT], tuple[str, ...]] = lambda _: ()
    identifiers: tuple[str, ...] = ()
    needs_file: bool = True
    companions: Callable[[Path, OptionsT], Iterable[Path]] = alone
    raw: Callable[[Path, bytes, Sequence[OptionsT]], Payload] | None = None
    kept_too: Callable[[Path, OptionsT], Iterable[Path]] = alone


def array_payload(
    array: npt.NDArray[Any],
    axes: tuple[str, ...],
    *,
    units: str = "",
    sampling_rate: float | None = None,
    channels: tuple[str, ...] = (),
    fields: Mapping[str, Value] | None = None,
) -> Payload:
    """An array as an npy payload: little-endian, C order, its values untouched."""
    plain = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).reshape(array.shape)
    return Payload(
        content=npy(plain),
        format="npy",
        dtype=plain.dtype.str,
        shape=plain.shape,
        axes=axes,
        units=units,
        sampling_rate=sampling_rate,
        channels=channels,
        fields=fields or {},
    )


def npy(array: npt.NDArray[Any]) -> bytes:
    """An array as npy, version 1.0: as `numpy.save` writes it, but the same bytes whatever the NumPy.

    Raises:
        ValueError: the array holds Python objects or named columns, which are never stored.
    """
    if array.dtype.hasobject or array.dtype.names:
        raise ValueError(f"not a plain array: dtype {array.dtype}")
    header = f"{{'descr': '{array.dtype.str}', 'fortran_order': False, 'shape': {array.shape!r}, }}"
    header += " " * (-(10 + len(header) + 1) % 64) + "\n"
    content = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data  # where tobytes() would copy once more
    return b"".join((b"\x93NUMPY\x01\x00", struct.pack("<H", len(header)), header.encode("latin1"), content))
