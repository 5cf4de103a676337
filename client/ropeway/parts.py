"""Reads one part: finds its decoder, decodes single contents, puts those of a batch together."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ropeway import decode, tar
from ropeway.decode import Decode, Decoder
from ropeway.errors import FormatError
from ropeway.manifest import Part
from ropeway.samples import Array, Bytes


@dataclass(frozen=True, slots=True)
class PartReader:
    """A part and how it is decoded.

    Attributes:
        part: what the view says of it.
        decoder: None where the samples differ in format, so that each one's own name tells.
        own: the caller's decoders, by part name or format.
        shape: of every array, where the view's samples all have the same and the decoder is a built-in one; else None.
    """

    part: Part
    decoder: Decoder | None
    own: Mapping[str, Decoder | Decode]
    shape: tuple[int, ...] | None

    @classmethod
    def of(cls, part: Part, own: Mapping[str, Decoder | Decode]) -> "PartReader":
        """The reader of a part.

        Raises:
            UsageError: there is no decoder for its format.
        """
        decoder = decode.find(part.name, part.format, own) if part.format else None
        shape = None
        if part.name not in own and part.format not in own and part.dtype is not None and part.shape is not None:
            sizes = tuple(size for size in part.shape if size is not None)
            shape = sizes if len(sizes) == len(part.shape) else None
        return cls(part, decoder, own, shape)

    @property
    def heavy(self) -> bool:
        """Whether it is worth several threads."""
        return self.decoder is None or self.decoder.heavy

    def read(self, span: Bytes, content: Bytes) -> Any:
        """Decode one content; `span` is the sample's, whose member names tell the format where samples differ.

        Raises:
            FormatError: it does not decode, or is not of the shape that the view says.
        """
        form = self.part.format
        try:
            if self.decoder is not None:
                value = self.decoder.decode(content.data)
            else:
                form = tar.part_format(span.data, self.part.name)
                value = decode.find(self.part.name, form, self.own).decode(content.data)
        except (ValueError, OSError) as error:
            raise FormatError(f"{form} content does not decode: {error}") from error
        if self.shape is not None and value.shape != self.shape:
            raise FormatError(f"part {self.part.name} has shape {value.shape}, the manifest says {self.shape}")
        return value

    def collate(self, values: list[Any]) -> Array | list[Any]:
        """One array where all have one shape (zeros for what is absent), else the list.

        What the caller's own decoders give is stacked when it can be: arrays of one shape, none absent.
        """
        if self.shape is None:
            stackable = self.part.name in self.own or self.part.format in self.own
            if not stackable or not all(isinstance(value, np.ndarray) for value in values):
                return values
            return np.stack(values) if len({value.shape for value in values}) == 1 else values
        together = np.zeros((len(values), *self.shape), np.dtype(self.part.dtype).newbyteorder("="))
        for place, value in enumerate(values):
            if value is not None:
                together[place] = value
        return together
