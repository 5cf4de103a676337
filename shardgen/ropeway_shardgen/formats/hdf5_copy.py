"""Datasets of numbers taken from one HDF5 file into another: stored the same way, and without attributes and times."""

from typing import Any

import numpy as np

from ropeway_shardgen.formats.bounded import check_array

_WIDEST = 8
"""Bytes of a number. Wider ones have bytes between them that hold anything."""


def copied(source: Any, group: Any, name: str) -> Any:
    """A dataset as a new one of the group, with the same chunks and compression.

    Args:
        source: an h5py dataset.
        group: the h5py group that gets it.

    Raises:
        ValueError: it is no dataset of numbers, or larger than a sample may be.
    """
    if not hasattr(source, "dtype") or source.dtype.kind not in "biuf" or source.dtype.itemsize > _WIDEST:
        raise ValueError(f"{name} is no dataset of numbers")
    check_array(source.size * source.dtype.itemsize)
    how = {} if source.chunks is None else {"chunks": source.chunks, "maxshape": source.maxshape}
    return group.create_dataset(
        name,
        data=source[()],
        dtype=np.dtype(source.dtype.str),  # without the words of an enumeration
        compression=source.compression,
        compression_opts=source.compression_opts,
        shuffle=source.shuffle or None,
        fletcher32=source.fletcher32 or None,
        track_times=False,
        **how,
    )
