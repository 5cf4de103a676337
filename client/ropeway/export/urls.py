"""The URLs of a view's shards, for pipelines that read shards whole: webdataset, HF datasets, curl."""

from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from ropeway import tar
from ropeway.errors import UsageError
from ropeway.manifest import is_url
from ropeway.samples import Samples

if TYPE_CHECKING:
    from ropeway.view import View

_TAPE = 20 * tar.BLOCK
"""Other programs pad archives to whole tape records of that size, so that an adopted shard may end later than ours."""


@runtime_checkable
class Located(Protocol):
    """Access to shards that can be handed on as URLs."""

    def url(self, shard: int, seconds: int) -> str:
        """Where anybody may read a shard for that long: a path, or a URL."""
        ...


def urls(view: "View", seconds: int) -> list[str]:
    """See `View.urls`."""
    table, reader = view.table(), view.reader()
    if not isinstance(reader, Located):
        raise UsageError(
            "the view's shards have no URLs: stream it with StreamingLoader", dataset=", ".join(view.datasets)
        )
    numbers = np.unique(table.shard).tolist()
    for number in numbers:
        _check_whole(table, number)
    return [reader.url(number, seconds) for number in numbers]


def _check_whole(table: Samples, number: int) -> None:
    """A reader of whole shards would bring samples that the view does not have: withdrawn, of other classes, …"""
    ref = table.shards[number]
    rows = np.flatnonzero(table.shard == number)
    rows = rows[np.argsort(table.offset[rows], kind="stable")]
    ends = table.offset[rows] + table.length[rows]
    begins = np.concatenate([[0], ends[:-1]])
    left = ref.bytes - int(ends[-1])
    if (table.offset[rows] != begins).any() or not len(tar.END) <= left <= (
        _TAPE if is_url(ref.path) else len(tar.END)
    ):
        raise UsageError(
            f"the view has {len(rows):,} samples of the shard and not all: who reads shards whole would get the others "
            "too; stream the view with StreamingLoader, or query whole splits", dataset=ref.dataset, shard=ref.path,
        )  # fmt: skip
