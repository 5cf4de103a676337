"""webdataset: shards shuffled, then a buffer of samples."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import webdataset

from benchmarks.batches import Batch, Collate
from benchmarks.places import Place
from benchmarks.systems import BUFFER, Stream, tars
from benchmarks.workloads import WANTED, Workload


def write(work: Workload, folder: Path) -> None:
    tars.write(work, folder)


def open_stream(work: Workload, place: Place, workers: int) -> Stream:
    urls = (
        place.urls(".tar") if place.url is None else place.presigned(".tar")
    )  # it has no s3://; HTTP it reads by curl
    dataset = webdataset.WebDataset(urls, shardshuffle=len(urls), detshuffle=True, empty_check=False)
    if work.keep is not None:
        dataset = dataset.select(Kept(work.keep))
    dataset = dataset.shuffle(BUFFER).map(Named(tars.names(work))).batched(work.batch, collation_fn=Collate(work))
    loader = webdataset.WebLoader(dataset, batch_size=None, num_workers=workers)

    def epoch() -> Iterator[Batch]:
        return iter(loader)

    return Stream(epoch)


class Kept:
    """Whether a sample is one that a subset keeps: its members are read by then, not decoded."""

    def __init__(self, label: str) -> None:
        self._ending = f"{label}.cls"

    def __call__(self, sample: dict[str, Any]) -> bool:
        return int(sample[self._ending]) == WANTED


class Named:
    """A sample's members by part and label."""

    def __init__(self, names: dict[str, str]) -> None:
        self._names = names

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        return {name: sample[ending] for ending, name in self._names.items() if ending in sample}
