"""DICOM images of every transfer syntax that pydicom's decoders know, as stored values."""

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from ropeway.decoders.libraries import damage, require
from ropeway.samples import Array


def decode_dicom(content: memoryview) -> Array:
    """Pixels as stored: ([frame,] height, width[, channel]); rescale and window are not applied.

    Colour is RGB: YBR and palettes are converted by pydicom's own functions.
    """
    pydicom, pixels = require("pydicom", "dicom"), require("pydicom.pixels", "dicom")
    with damage(pydicom.errors.InvalidDicomError, pydicom.errors.BytesLengthException):
        dataset = pydicom.dcmread(io.BytesIO(content))
        if "PixelData" not in dataset:
            raise ValueError("a DICOM object without pixels, or cut short before them")
        array: Array = pixels.pixel_array(dataset)
        if dataset.get("PhotometricInterpretation") == "PALETTE COLOR":
            array = pixels.apply_color_lut(array, dataset)
        return array


@contextmanager
def quiet() -> Iterator[None]:
    """Silence pydicom's warnings, on its logger too: they quote header values. What is really wrong, it raises."""
    logger = logging.getLogger("pydicom")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
