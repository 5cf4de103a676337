"""Time series of brain regions in AFNI's text form (.1D): the series as stored, or how they correlate.

Source: the `rois_…` derivatives of the ABIDE Preprocessed initiative (http://preprocessed-connectomes-project.org/abide).
A line of region labels (`#1 #2 …`), then one line per time point with one number per region.
"""

from pathlib import Path
from typing import Literal

import numpy as np

from ropeway_shardgen.adapters.adapter import Adapter, Options, Payload, array_payload
from ropeway_shardgen.fields import Fields
from ropeway_shardgen.formats.graph import Array


class RoiOptions(Options, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What of the file a part holds."""

    content: Literal["series", "pearson"] = "series"
    """The series [region, time], or Pearson's correlation of each two of them [region, region]."""


def read(path: Path, _fields: Fields, options: RoiOptions) -> Payload:
    """float64 [region, time] or [region, region]; the regions' labels are its channels. Fields: `times`, `regions`,
    and `flat`, the regions whose signal never changes: their correlations are undefined, and NaN.

    Raises:
        ValueError: it is not a table of numbers, or the labels do not fit its columns.
    """
    regions, series = _table(path)
    fields = {
        "times": len(series),
        "regions": series.shape[1],
        "flat": int((series == series[:1]).all(axis=0).sum()),
    }
    if options.content == "series":
        return array_payload(series.T, ("region", "time"), channels=regions, fields=fields)
    return array_payload(pearson(series), ("region", "region"), units="correlation", channels=regions, fields=fields)


def pearson(series: Array) -> Array:
    """Pearson's correlation of the columns of [time, region]: float64 [region, region], NaN for a flat column.

    Sums are taken time point by time point, in their order, and not by a linear algebra library: the result is the
    same to the last bit on every machine, and so is the shard that holds it.
    """
    total, products = np.zeros(series.shape[1]), np.zeros((series.shape[1], series.shape[1]))
    for values in series:
        total += values
    for values in series - total / len(series):
        products += values[:, None] * values[None, :]
    flat = (series == series[:1]).all(axis=0)
    scale = np.sqrt(np.diagonal(products))
    scale[flat] = np.nan
    return np.asarray(products / (scale[:, None] * scale[None, :]))


def _table(path: Path) -> tuple[tuple[str, ...], Array]:
    head, _, rest = path.read_text("ascii").partition("\n")
    regions = tuple(head.replace("#", " ").split()) if head.startswith("#") else ()
    lines = (rest if regions else f"{head}\n{rest}").splitlines()
    rows = [line.split() for line in lines if line.strip()]
    columns = len(rows[0]) if rows else 0
    if columns == 0 or any(len(row) != columns for row in rows):
        raise ValueError("not a table of numbers, or cut short: its lines are not equally long")
    if regions and len(regions) != columns:
        raise ValueError(f"{len(regions)} labels over {columns} columns")
    return regions, np.array(rows, np.float64)


ADAPTER = Adapter(options=RoiOptions, read=read)
