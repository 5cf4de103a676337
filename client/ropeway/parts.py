"""Reads one part: finds its decoder, decodes single contents, puts those of a batch together."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, cast

import numpy as np

from ropeway import decode, tar
from ropeway.collate import Collate, Stacked
from ropeway.decode import Decode, Decoder, FileDecoder
from ropeway.errors import FormatError, RopewayError
from ropeway.manifest import Part
from ropeway.readings import Reading, Whole
from ropeway.samples import Array, Bytes
from ropeway.shard_file import ShardFile

_BYTE_IMAGES = ("jpg", "jpeg")
"""Formats whose pixels are always uint8; of the others the manifest does not say."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """What every sample's value is: an array of one shape and dtype (in this machine's byte order)."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def size(self) -> int:
        """Bytes of one value."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class PartReader:
    """A part and how it is read.

    Attributes:
        part: what the view says of it.
        decoder: None where the samples differ in format, so that each one's own name tells.
        own: the caller's decoders, by part name or format.
        fixed: where every value has one shape and dtype that the manifest or the reading declares; else None.
        collate: how values whose shape was not declared become a batch; None: they stay a list.
    """

    part: Part
    decoder: Decoder | FileDecoder | None
    own: Mapping[str, Decoder | Decode]
    fixed: Fixed | None
    collate: Collate | None = None

    @classmethod
    def of(
        cls,
        part: Part,
        own: Mapping[str, Decoder | Decode],
        reading: Reading | None = None,
        collate: Collate | None = None,
    ) -> "PartReader":
        """The reader of a part.

        Raises:
            UsageError: there is no decoder for its format, or the reading does not fit it.
        """
        if reading is not None and not isinstance(reading, Whole):
            decoder, given = reading.of(part)
            return cls(part, decoder, own, _fixed(given), collate or Stacked())
        if not part.format:
            return cls(part, None, own, None, collate)
        if part.name in own or part.format in own:
            return cls(part, decode.find(part.name, part.format, own), own, None, collate or Stacked())
        return cls(part, decode.find(part.name, part.format, {}), own, _fixed(part), collate)

    @property
    def moved(self) -> bool:
        """Whether values are npy arrays that need no decoder: their bytes are moved as they are."""
        return self.decoder is decode.DECODERS["npy"] and self.fixed is not None and self.fixed.size > 0

    @property
    def partial(self) -> bool:
        """Whether it reads bits of the part from its shard, and does not need the whole."""
        return isinstance(self.decoder, FileDecoder)

    @property
    def heavy(self) -> bool:
        """Whether it is worth several threads."""
        return self.decoder is None or self.decoder.heavy

    def read(self, span: Bytes, content: Bytes) -> Any:
        """Decode one content; `span` is the sample's, whose member names tell the format where samples differ.

        Raises:
            FormatError: it does not decode, or is not of the shape that was declared.
        """
        form = self.part.format
        try:
            if isinstance(self.decoder, FileDecoder):
                value = self.decoder.read(cast("BinaryIO", ShardFile.over(content.data)))
            elif self.decoder is not None:
                value = self.decoder.decode(content.data)
            else:
                form = tar.part_format(span.data, self.part.name)
                value = decode.find(self.part.name, form, self.own).decode(content.data)
        except RopewayError:
            raise
        except (ValueError, OSError) as error:
            raise FormatError(f"{form} content does not decode: {error}") from error
        return self._checked(value)

    def read_file(self, file: ShardFile) -> Any:
        """Decode what the reading wants from a part's content; raises as `read` does."""
        assert isinstance(self.decoder, FileDecoder)
        try:
            value = self.decoder.read(cast("BinaryIO", file))
        except RopewayError:
            raise
        except (ValueError, OSError) as error:
            raise FormatError(f"{self.part.format} content does not decode: {error}") from error
        return self._checked(value)

    def read_into(self, span: Bytes, content: Bytes, target: Array) -> None:
        """Decode one content straight into its place in the batch; raises as `read` does."""
        if not isinstance(self.decoder, Decoder) or self.decoder.into is None:
            target[...] = self.read(span, content)
            return
        try:
            self.decoder.into(content.data, target)
        except RopewayError:
            raise
        except (ValueError, OSError) as error:
            raise FormatError(f"{self.part.format} content does not decode: {error}") from error

    def _checked(self, value: Any) -> Any:
        fixed = self.fixed
        if fixed is not None and (value.shape, value.dtype.newbyteorder("=")) != (fixed.shape, fixed.dtype):
            raise FormatError(
                f"part {self.part.name} is {value.dtype} of shape {value.shape}, the manifest says {fixed.dtype} of "
                f"shape {fixed.shape}"
            )
        return value

    def together(self, values: list[Any]) -> Any:
        """The values of one batch that have no declared shape: collated as told, else the list."""
        return self.collate(values, self.part) if self.collate is not None and values else values


def _fixed(part: Part) -> Fixed | None:
    """The declared shape and dtype of all values, or None where something is left open."""
    if part.dtype is None and part.format in _BYTE_IMAGES and part.shape is not None and part.shape[2:] in ((), (3,)):
        part = replace(part, dtype="|u1")  # four bands are CMYK, which decodes to three
    if part.dtype is None or part.shape is None or None in part.shape:
        return None
    sizes = tuple(size for size in part.shape if size is not None)
    return Fixed(sizes, np.dtype(part.dtype).newbyteorder("="))
