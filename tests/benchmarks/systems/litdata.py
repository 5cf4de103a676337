"""litdata: chunks made by `optimize`, contents as raw bytes (twice as fast here as its array serializers)."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import litdata
from litdata.streaming import downloader

from benchmarks.batches import Batch, Collate, read_size
from benchmarks.places import Place
from benchmarks.systems import SEED, SHARD_BYTES, Stream
from benchmarks.workloads import Sample, Workload


class Samples:
    """Yields the samples as litdata stores them: the same fields in each."""

    def __init__(self, work: Workload, fields: Callable[[Sample], Mapping[str, Any]]) -> None:
        self._work, self._fields = work, fields

    def __call__(self, _: int) -> Iterator[dict[str, Any]]:
        for sample in self._work:
            yield {**self._fields(sample), **sample.labels}


def optimize(work: Workload, folder: Path, fields: Callable[[Sample], Mapping[str, Any]]) -> None:
    """Write the fields and labels of samples."""
    litdata.optimize(
        Samples(work, fields),
        inputs=[0],
        output_dir=str(folder),
        chunk_bytes=SHARD_BYTES,
        num_workers=1,
        verbose=False,
    )


def open_loader(place: Place, size: int, workers: int, collate: Callable[[Any], Batch] | None) -> Any:
    """Its loader, over a local folder or S3."""
    where: dict[str, Any] = {"input_dir": str(place.folder)}
    if place.url is not None:
        downloader._OBSTORE_CLIENT_OPTIONS["allow_http"] = True  # its options know HTTPS only
        where = {
            "input_dir": place.url,
            "cache_dir": str(place.cache),
            "storage_options": {
                "endpoint_url": place.endpoint,
                "aws_access_key_id": os.environ["AWS_ACCESS_KEY_ID"],
                "aws_secret_access_key": os.environ["AWS_SECRET_ACCESS_KEY"],
            },
        }
    dataset = litdata.StreamingDataset(**where, shuffle=True, seed=SEED)
    return litdata.StreamingDataLoader(dataset, batch_size=size, num_workers=workers, collate_fn=collate)


def stream_of(loader: Any, batch_of: Callable[[Any], Batch]) -> Stream:
    """The loader's batches, and its state."""
    return Stream(
        epoch=lambda: map(batch_of, loader),
        state=lambda: json.dumps(loader.state_dict()).encode(),
        restore=lambda saved: loader.load_state_dict(json.loads(saved)),
    )


def write(work: Workload, folder: Path) -> None:
    optimize(work, folder, contents)


def contents(sample: Sample) -> Mapping[str, bytes]:
    """The parts as raw bytes."""
    return sample.contents


def open_stream(work: Workload, place: Place, workers: int) -> Stream:
    return stream_of(open_loader(place, read_size(work), workers, Collate(work)), dict)
