"""The systems that are measured: each module writes a workload in its system's best format and streams it shuffled.

Their libraries are imported by `open_stream` and `write` alone, so that the harness runs where they are not installed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol

from benchmarks.batches import Batch
from benchmarks.places import Place
from benchmarks.workloads import Workload

SHARD_BYTES = 64 << 20
"""Of shards, chunks and files, for every system."""

BUFFER = 1000
"""Samples in the shuffle buffers of systems that have one: what their documentation begins with."""

SEED = 7


@dataclass(frozen=True, slots=True)
class Stream:
    """An opened dataset.

    Attributes:
        epoch: a new shuffled epoch's batches, or the rest of the one that a restored state is in.
        state, restore: where the stream is, as bytes; None where the system has no such thing.
    """

    epoch: Callable[[], Iterator[Batch]]
    state: Callable[[], bytes] | None = None
    restore: Callable[[bytes], None] | None = None


class System(Protocol):
    """What each module of this package is. Importing it imports the system's library."""

    def write(self, work: Workload, folder: Path) -> None:
        """Write the workload's samples into an empty folder."""
        ...

    def open_stream(self, work: Workload, place: Place, workers: int) -> Stream:
        """Open what was written.

        Raises:
            Unable: not from such a place.
        """
        ...


@dataclass(frozen=True, slots=True)
class Entry:
    """A system as it is listed.

    Attributes:
        title: for people.
        library: its distribution's name.
        workers: numbers of worker processes to try; the best counts.
        environment: which of the bench's environments has it: requirements that exclude each other need two.
    """

    title: str
    library: str
    workers: tuple[int, ...] = (0, 1, 2)
    environment: str = "main"


ENTRIES = {
    "ropeway": Entry("Ropeway", "ropeway", (0,)),
    "litdata": Entry("litdata, raw bytes", "litdata"),
    "litdata_arrays": Entry("litdata, arrays", "litdata"),
    "mosaic": Entry("mosaicml-streaming", "mosaicml-streaming", environment="mosaic"),
    "webdataset": Entry("webdataset", "webdataset"),
    "energon": Entry("Megatron-Energon", "megatron-energon"),
    "huggingface": Entry("HF datasets", "datasets"),
    "files": Entry("torch over files", "torch"),
}
"""By module name. litdata comes twice: as its own guide has it (arrays, its collate), and with contents as raw bytes
that are put together by hand, which is faster."""


def find(name: str) -> System:
    """A system by name."""
    return import_module(f"benchmarks.systems.{name}")
