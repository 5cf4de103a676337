"""litdata as its guide has it: NumPy arrays by its own serializer, its own collate function."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.places import Place, Unable
from benchmarks.systems import Stream
from benchmarks.systems.litdata import open_loader, optimize, stream_of
from benchmarks.workloads import Sample, Workload


def write(work: Workload, folder: Path) -> None:
    _check(work)
    optimize(work, folder, arrays)


def arrays(sample: Sample) -> Mapping[str, Any]:
    """The parts as they are."""
    return sample.parts


def open_stream(work: Workload, place: Place, workers: int) -> Stream:
    _check(work)
    loader = open_loader(place, work.batch, workers, None)
    return stream_of(loader, lambda batch: batch)


def _check(work: Workload) -> None:
    if work.keep is not None or any(part.kind != "array" for part in work.parts):
        raise Unable("the same as litdata, raw bytes")
