"""HF datasets, streaming: Parquet without compression, contents as binary columns, a shuffle buffer."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
from torch.utils.data import DataLoader

from benchmarks.batches import Batch, Collate
from benchmarks.places import Place
from benchmarks.systems import BUFFER, SEED, SHARD_BYTES, Stream
from benchmarks.workloads import WANTED, Workload

_GROUP_BYTES = 8 << 20

datasets.config.SLEEP_TIME_ON_THREADS_SHUTDOWN = 0  # it sleeps 5 s at each epoch's end against a crash of Arrow
datasets.disable_progress_bars()


def write(work: Workload, folder: Path) -> None:
    contents: list[tuple[str, Any]] = [(part.name, pa.binary()) for part in work.parts]
    schema = pa.schema(contents + [(name, pa.int64()) for name in work.label_names])
    group = max(1, int(_GROUP_BYTES / work.sample_bytes))
    groups_per_file = SHARD_BYTES // _GROUP_BYTES
    rows: list[dict[str, Any]] = []
    written, writer = 0, None
    for sample in work:
        rows.append({**sample.contents, **sample.labels})
        if len(rows) < group and sample.number < work.samples - 1:
            continue
        if writer is None:
            path = folder / f"train-{written // groups_per_file:06d}.parquet"
            writer = pq.ParquetWriter(path, schema, compression="none", use_dictionary=False, write_statistics=True)
        writer.write_table(pa.Table.from_pylist(rows, schema), row_group_size=group)
        rows, written = [], written + 1
        if written % groups_per_file == 0 or sample.number == work.samples - 1:
            writer.close()
            writer = None


def open_stream(work: Workload, place: Place, workers: int) -> Stream:
    options: dict[str, Any] = {"filters": [(work.keep, "==", WANTED)]} if work.keep else {}
    if place.url is not None:
        options["storage_options"] = {
            "key": os.environ["AWS_ACCESS_KEY_ID"],
            "secret": os.environ["AWS_SECRET_ACCESS_KEY"],
            "client_kwargs": {"endpoint_url": place.endpoint},
        }
    dataset = datasets.load_dataset(
        "parquet",
        data_files=place.urls(".parquet"),
        split="train",
        streaming=True,
        cache_dir=str(place.cache),
        **options,
    ).shuffle(seed=SEED, buffer_size=BUFFER)
    collate = Collate(work)

    def whole() -> Iterator[Batch]:  # Arrow tables are its fastest way, which worker processes cannot share
        for table in dataset.with_format("arrow").iter(work.batch):
            yield collate(table.to_pylist())

    loader: Any = DataLoader(dataset, work.batch, num_workers=workers, collate_fn=collate)
    return Stream(
        epoch=(lambda: iter(loader)) if workers else whole,
        state=lambda: json.dumps(dataset.state_dict()).encode(),
        restore=lambda saved: dataset.load_state_dict(json.loads(saved)),
    )
