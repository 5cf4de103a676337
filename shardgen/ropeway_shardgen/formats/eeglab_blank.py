"""The signals of an EEGLAB dataset, in a .set that holds nothing else: rate, electrodes and values, stored as they are.

A dataset can hold anything beside them (subject, history of commands, file names, events with what a person typed,
comments), so only these are written, as the struct EEG of a MATLAB file of version 5: numbers in their dtype, and the
electrodes' labels, which the decoded part has too. A .fdt is float32, and becomes the field `data`. What a recipe takes
from tables beside the file is in the index.
"""

import struct
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ropeway_shardgen.adapters.adapter import Payload
from ropeway_shardgen.formats.bounded import check_array
from ropeway_shardgen.formats.mat_level5 import CHAR, CLASSES, MATRIX, STORED, STRUCT
from ropeway_shardgen.formats.mat_level5_blank import HEAD, element, fields_named

Array: TypeAlias = npt.NDArray[Any]

_KINDS = {dtype: number for number, dtype in CLASSES.items()}
_ELEMENTS = {dtype: number for number, dtype in STORED.items() if number < 16}
_UTF16 = 17
_LATER = ("setname", "filename", "filepath", "subject", "group", "condition", "comments", "history")
"""Texts that EEGLAB expects to be there, and that are left empty."""
_EMPTY = ("event", "urevent", "epoch", "icaact", "icawinv", "icasphere", "icaweights", "icachansind", "reject")
"""Arrays that it does."""


def kept(rate: float, names: Sequence[str], values: Array) -> Payload:
    """A dataset as a .set of its own.

    Args:
        rate: Hz.
        names: of the electrodes.
        values: [channel, time], in the dtype of the file.

    Raises:
        ValueError: they are no numbers that MATLAB has, or more than a sample may have.
    """
    check_array(values.nbytes)
    number, length = values.shape
    labels = [{"labels": _text(name)} for name in names]
    told = {name: _text("") for name in _LATER} | {name: _numbers(np.empty((0, 0))) for name in _EMPTY}
    sizes = {"nbchan": number, "trials": 1, "pnts": length, "srate": rate, "xmin": 0.0, "xmax": (length - 1) / rate}
    told |= {name: _numbers(np.array([[size]], np.float64)) for name, size in sizes.items()}
    told |= {"chanlocs": _structs(labels), "data": _numbers(values)}
    return Payload(content=HEAD + _structs([told], "EEG"), format="set")


def _structs(values: Sequence[dict[str, bytes]], name: str = "") -> bytes:
    """Structs of the same fields, [1, struct]."""
    fields = fields_named(list(values[0]), "<")
    return _array(STRUCT, (1, len(values)), name, [*fields, *(field for value in values for field in value.values())])


def _text(text: str) -> bytes:
    stored = text.encode("utf-16-le")
    return _array(CHAR, (1 if stored else 0, len(stored) // 2), "", [element(_UTF16, stored, "<")])


def _numbers(values: Array) -> bytes:
    dtype = values.dtype.str[1:]
    if dtype not in _KINDS:
        raise ValueError(f"values of {values.dtype}, which MATLAB has no class for: it cannot be kept")
    stored = values.astype(f"<{dtype}", copy=False).tobytes(order="F")
    return _array(_KINDS[dtype], values.shape, "", [element(_ELEMENTS[dtype], stored, "<")])


def _array(kind: int, shape: tuple[int, ...], name: str, content: Sequence[bytes]) -> bytes:
    head = [
        element(6, struct.pack("<2I", kind, 0), "<"),
        element(5, struct.pack(f"<{len(shape)}i", *shape), "<"),
        element(1, name.encode("ascii"), "<"),
    ]
    return element(MATRIX, b"".join([*head, *content]), "<")
