"""JPEGs decoded on the GPU: `StreamingLoader(view, …, device="cuda", decoders={"jpg": ropeway.nvjpeg.on_gpu})`.

The host passes the encoded bytes on; the loader's side stream decodes a whole batch with nvJPEG, through torchvision.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ropeway.decode import Decoder
from ropeway.errors import FormatError, UsageError
from ropeway.samples import Bytes


@dataclass(frozen=True, slots=True)
class Encoded:
    """A JPEG that is to be decoded on the device."""

    content: Bytes


def _kept(content: memoryview) -> Encoded:
    """The content, copied out of its buffer."""
    return Encoded(np.array(content, np.uint8))


on_gpu = Decoder(_kept)
"""Give it as a decoder, by part name or for `jpg`."""


def decoded(values: list[Encoded | None], device: torch.device) -> Any:
    """A batch's JPEGs as uint8 tensors (height, width) or (height, width, 3) on a CUDA device, on the current stream.

    Returns:
        One tensor (batch, …) where all have one shape and none is absent, else a list.

    Raises:
        UsageError: torchvision is not installed.
        FormatError: one of them is no JPEG that nvJPEG decodes.
    """
    try:
        from torchvision.io import decode_jpeg  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise UsageError(
            "decoding JPEGs on the GPU needs torchvision: install the build that fits your torch"
        ) from error
    present = [torch.from_numpy(value.content) for value in values if value is not None]
    try:
        images = [image.squeeze(0) if len(image) == 1 else image.permute(1, 2, 0)
                  for image in (decode_jpeg(present, device=device) if present else [])]  # fmt: skip
    except RuntimeError as error:
        raise FormatError(f"nvJPEG does not decode a JPEG of this batch: {error}") from error
    if len(images) == len(values) and len({image.shape for image in images}) == 1:
        return torch.stack(images)
    following = iter(images)
    return [None if value is None else next(following) for value in values]
