"""Decoders: the content of a part as an array or a plain object, by format. Nothing is ever unpickled.

A loader's `decoders={"dcm": …}` adds to or replaces these, by format or by part name, in one line. There is no global
registration: it would not reach the worker processes of a DataLoader, while the loader's own argument does.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, BinaryIO, TypeAlias

from ropeway.content import RAW
from ropeway.decoders.arrays import decode_npy, decode_npy_into, decode_npz
from ropeway.decoders.dicom import decode_dicom
from ropeway.decoders.edf import decode_edf
from ropeway.decoders.nifti import decode_nifti, decode_nifti_gz, decode_nifti_gz_into, decode_nifti_into
from ropeway.decoders.pictures import decode_picture, decode_picture_into
from ropeway.decoders.plain import as_bytes, decode_json, decode_msgpack, decode_text
from ropeway.decoders.sound import decode_wav
from ropeway.decoders.video import decode_video
from ropeway.decoders.wfdb import decode_wfdb
from ropeway.errors import UsageError
from ropeway.samples import Array

__all__ = ["DECODERS", "Decode", "DecodeInto", "Decoder", "FileDecoder", "as_bytes", "decode_npy", "find"]

Decode: TypeAlias = Callable[[memoryview], Any]
DecodeInto: TypeAlias = Callable[[memoryview, Array], None]


@dataclass(frozen=True, slots=True)
class Decoder:
    """How a part's content is decoded. `heavy` decoders are worth a thread of their own; the others take microseconds.

    Attributes:
        decode: content → array (any dtype and shape) or a plain object; raises ValueError or OSError on bad content.
        heavy: whether samples are decoded in parallel.
        into: the same straight into a C-contiguous array, such as a row of a batch; raises ValueError also when that is
            not of the content's shape and dtype. None where it would save nothing.
    """

    decode: Decode
    heavy: bool = False
    into: DecodeInto | None = None


@dataclass(frozen=True, slots=True)
class FileDecoder:
    """How a bit of a part is decoded, of which only that bit is read.

    Attributes:
        read: seekable file of the part's content → array; reads in few exact pieces, as each may be a request; raises
            ValueError or OSError on bad content.
        heavy: whether samples are decoded in parallel.
    """

    read: Callable[[BinaryIO], Any]
    heavy: bool = True


_PICTURE = Decoder(decode_picture, heavy=True, into=decode_picture_into)
_PICTURES = ("jpg", "jpeg", "png", "webp", "tif", "tiff", "bmp")
VIDEOS = ("mp4", "mov", "avi", "mkv", "webm")

DECODERS: Mapping[str, Decoder] = MappingProxyType(
    {
        "npy": Decoder(decode_npy, into=decode_npy_into),
        "npz": Decoder(decode_npz, heavy=True),
        "json": Decoder(decode_json),
        "txt": Decoder(decode_text),
        "msgpack": Decoder(decode_msgpack),
        **dict.fromkeys(_PICTURES, _PICTURE),
        "dcm": Decoder(decode_dicom, heavy=True),
        "nii": Decoder(decode_nifti, heavy=True, into=decode_nifti_into),
        "nii.gz": Decoder(decode_nifti_gz, heavy=True, into=decode_nifti_gz_into),
        "wav": Decoder(decode_wav, heavy=True),
        "edf": Decoder(decode_edf, heavy=True),
        "bdf": Decoder(decode_edf, heavy=True),
        "wfdb": Decoder(decode_wfdb, heavy=True),
        **{form: Decoder(partial(decode_video, form=form), heavy=True) for form in VIDEOS},
    }
)
"""By format. A loader's `decoders={"dcm": …}` adds to or replaces these, by format or by part name."""


def find(part: str, form: str, own: Mapping[str, Decoder | Decode]) -> Decoder:
    """The decoder of a part: the caller's own by part name or format, else the built-in one.

    Originals that are kept beside parts (`<part>_raw`) come as their bytes where nothing decodes them.

    Raises:
        UsageError: there is none; the message says how to give one.
    """
    found = own.get(part) or own.get(form) or DECODERS.get(form) or (as_bytes if part.endswith(RAW) else None)
    if found is None:
        raise UsageError(f"no decoder for part {part!r} of format {form!r}: give one with decoders={{{form!r}: …}}, "
                         "or ropeway.decode.as_bytes for its bytes")  # fmt: skip
    return found if isinstance(found, Decoder) else Decoder(found, heavy=True)
