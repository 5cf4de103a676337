"""A sample at a glance: a small picture of its first part that can be shown, or the beginning of its text."""

import io
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from ropeway.decode import VIDEOS, decode_npy
from ropeway.decoders.scaled import decode_scaled, resampled
from ropeway.decoders.video import decode_spread
from ropeway.manifest import Part

Pixels: TypeAlias = npt.NDArray[np.uint8]

SIDE = 256
"""Pixels of a preview's height and width."""
WORDS = 600
"""Characters of a preview of text."""

_PICTURES = ("jpg", "jpeg", "png", "webp", "tif", "tiff", "bmp")


def shown(part: Part, form: str) -> Callable[[bytes], tuple[bytes, str]] | None:
    """What makes a preview, with its media type, of a part's content in a format; None where nothing does.

    The function raises ValueError or OSError on damaged content, and ImportError where a decoder is not installed.
    """
    if form in _PICTURES:
        return lambda content: _png(_picture(decode_scaled(memoryview(content), (SIDE, SIDE), "pad")))
    if form in VIDEOS:
        return partial(_frame, form=form)
    if form in ("txt", "json"):
        return lambda content: (content.decode("utf-8", "replace")[:WORDS].encode(), "text/plain; charset=utf-8")
    if form == "npy" and part.kind in ("image", "dicom", "volume", "signal"):
        return partial(_array, part=part)
    return None


def _array(content: bytes, part: Part) -> tuple[bytes, str]:
    values = decode_npy(memoryview(content))
    if part.kind == "signal" and values.ndim == 2:
        return _png(_lines(values if part.axes[:1] != ("time",) else values.T))
    while values.ndim > 2 and not (values.ndim == 3 and values.shape[2] in (3, 4)):
        axis = next((place for place, name in enumerate(part.axes) if name in ("slice", "z", "frame", "time")), 0)
        values = values.take(values.shape[min(axis, values.ndim - 1)] // 2, min(axis, values.ndim - 1))
    if values.ndim < 2 or 0 in values.shape:
        raise ValueError(f"an array of shape {values.shape}, which is no picture")
    return _png(_picture(resampled(np.ascontiguousarray(values), (SIDE, SIDE), "pad")))


def _frame(content: bytes, form: str) -> tuple[bytes, str]:
    frames = dict(decode_spread(memoryview(content), form, 3))
    return _png(_picture(resampled(frames[1], (SIDE, SIDE), "pad")))


def _picture(values: npt.NDArray[Any]) -> Pixels:
    """Eight bits a channel, spread over the values that there are."""
    if values.dtype == np.uint8:
        return values
    whole = np.nan_to_num(values.astype(np.float32))
    low, high = float(whole.min()), float(whole.max())
    found: Pixels = np.rint((whole - low) * (255 / ((high - low) or 1))).astype(np.uint8)
    return found


def _lines(values: npt.NDArray[Any]) -> Pixels:
    """The signals below each other, as lines from left to right, each over its own range."""
    picture = Image.new("L", (SIDE, SIDE), 255)
    draw = ImageDraw.Draw(picture)
    rows = np.nan_to_num(values[:SIDE].astype(np.float32))
    height = SIDE / max(1, len(rows))
    for row, signal in enumerate(rows):
        points = signal[np.linspace(0, len(signal) - 1, SIDE).astype(int)] if len(signal) else np.zeros(SIDE)
        reach = float(points.max() - points.min()) or 1.0
        ys = (row + 0.9 - 0.8 * (points - points.min()) / reach) * height
        draw.line([(x, float(y)) for x, y in enumerate(ys)], fill=0)
    return np.asarray(picture)


def _png(pixels: Pixels) -> tuple[bytes, str]:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue(), "image/png"
