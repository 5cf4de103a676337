"""Pictures brought to one size: JPEG scaled down while it is decoded, then resampled to the size exactly."""

import math
from typing import Literal, TypeAlias

import numpy as np

from ropeway.decoders.pictures import decode_jpeg, decode_picture, jpeg_header
from ropeway.samples import Array

Fit: TypeAlias = Literal["stretch", "crop", "pad"]


def decode_scaled(content: memoryview, size: tuple[int, int], fit: Fit) -> Array:
    """A picture of exactly `size` (height, width), in the dtype and channels it is stored with.

    A JPEG is first scaled down by the DCT to the smallest multiple of 1/8 that is not below the size; then all are
    resampled, bicubic and antialiased. Integers keep their range: uint16 stays uint16.

    Args:
        content: any picture of one page.
        size: height and width wanted.
        fit: what happens to the proportions: "stretch" ignores them, "crop" cuts off what is too much on both sides,
            "pad" adds zeros on both sides.
    """
    header = jpeg_header(content)
    if header is None or not header.turbo:
        array = decode_picture(content)
        if array.ndim - (array.shape[-1] <= 4 and array.ndim > 2) != 2:
            raise ValueError(f"a picture of {array.shape[0]} pages, which has no one size")
        return resampled(array, size, fit)
    height, width = _inner((header.height, header.width), size, fit)
    array = decode_jpeg(content, header, height, width)
    return resampled(array, size, fit, _covered((header.height, header.width), (array.shape[0], array.shape[1])))


def _covered(whole: tuple[int, int], scaled: tuple[int, int]) -> tuple[float, float]:
    """How much of a picture scaled in the DCT is picture: its sides were rounded up, and filled at the far edges."""
    eighths = next(k for k in range(1, 9) if scaled == (-(-whole[0] * k // 8), -(-whole[1] * k // 8)))
    return whole[0] * eighths / 8, whole[1] * eighths / 8


def _inner(whole: tuple[float, float], size: tuple[int, int], fit: Fit) -> tuple[int, int]:
    """Height and width that the whole picture is scaled to: for a crop beyond the size, with padding within it."""
    if fit == "stretch":
        return size
    choose = max if fit == "crop" else min
    scale = choose(want / have for want, have in zip(size, whole, strict=True))
    rounded = math.ceil if fit == "crop" else round
    return max(1, rounded(whole[0] * scale - 1e-9)), max(1, rounded(whole[1] * scale - 1e-9))


def resampled(array: Array, size: tuple[int, int], fit: Fit, whole: tuple[float, float] | None = None) -> Array:
    """A picture (height, width[, channel]) brought to a size, as `decode_scaled` tells.

    Args:
        array: holds the picture.
        size: height and width wanted.
        fit: what happens to the proportions.
        whole: height and width of the picture from the top left on, where it does not fill the array.
    """
    whole = whole or (array.shape[0], array.shape[1])
    if fit == "crop":
        scale = max(want / have for want, have in zip(size, whole, strict=True))
        high, wide = (want / scale for want in size)
        top, left = (whole[0] - high) / 2, (whole[1] - wide) / 2
        return _resized(array, size, (left, top, left + wide, top + high))
    inner = _inner(whole, size, fit)
    fitted = _resized(array, inner, (0, 0, whole[1], whole[0]))
    if inner == size:
        return fitted
    padded = np.zeros((*size, *array.shape[2:]), array.dtype)
    top, left = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    padded[top : top + inner[0], left : left + inner[1]] = fitted
    return padded


def _resized(array: Array, size: tuple[int, int], box: tuple[float, float, float, float]) -> Array:
    """A box (left, top, right, bottom) of an array, resampled to a size (height, width)."""
    from PIL import Image

    if array.shape[:2] == size and box == (0, 0, size[1], size[0]):
        return array
    if array.dtype == np.uint8:
        return np.array(Image.fromarray(array).resize((size[1], size[0]), Image.Resampling.BICUBIC, box=box))
    exact = np.asarray(
        Image.fromarray(array.astype(np.float32)).resize((size[1], size[0]), Image.Resampling.BICUBIC, box=box)
    )
    if array.dtype.kind == "f":
        return exact
    if array.dtype == np.bool_:
        return exact >= 0.5
    limits = np.iinfo(array.dtype)
    return np.rint(exact.astype(np.float64)).clip(limits.min, limits.max).astype(array.dtype)
