"""Chosen columns of a table's row as a vector of numbers. The row is the sample's fields; there is no file."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ropeway_shardgen.adapters.adapter import Adapter, Options, Payload, array_payload
from ropeway_shardgen.fields import Fields, lookup, text
from ropeway_shardgen.problems import SampleError


class TableOptions(Options, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which columns, in this order."""

    columns: tuple[str, ...]
    codes: Mapping[str, tuple[str, ...]] = {}
    """For a column of words: all of them; a word is stored as its position."""
    missing: tuple[str, ...] = ("", "NA", "NaN", "nan")
    """Words that stand for a missing value, stored as NaN."""
    cap: Mapping[str, float] = {}
    """Column → the number that larger ones are given as: ages above 89 tell who it is."""


def read(_path: Path, fields: Fields, options: TableOptions) -> Payload:
    """float32 [columns]; the names of the columns are its channels."""
    values = [_number(fields, column, options) for column in options.columns]
    return array_payload(np.array(values, np.float32), ("column",), channels=options.columns)


def _number(fields: Fields, column: str, options: TableOptions) -> float:
    found = text(lookup(fields, column))
    if found is None or found in options.missing:
        return math.nan
    words = options.codes.get(column)
    if words is not None:
        if found not in words:
            problem = f"column {column!r}: {found!r} is none of: {', '.join(words)}"
            raise SampleError(problem, reason="value outside the codes")
        return words.index(found)
    try:
        return min(float(found), options.cap.get(column, math.inf))
    except ValueError:
        raise SampleError(f"column {column!r}: {found!r} is not a number (give its words as codes)") from None


ADAPTER = Adapter(options=TableOptions, read=read, locators=lambda options: options.columns, needs_file=False)
