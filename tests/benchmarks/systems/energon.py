"""Megatron-Energon: WebDataset tars prepared by its own indexer, crude samples, a shuffle buffer."""

import io
import json
import os
from pathlib import Path
from typing import Any

import torch
from megatron.energon import (
    BaseWebdatasetFactory,
    Cooker,
    TaskEncoder,
    WorkerConfig,
    get_savable_loader,
    get_train_dataset,
    stateless,
)

from benchmarks.batches import Batch, Collate, read_size
from benchmarks.places import Place
from benchmarks.systems import BUFFER, Stream, tars
from benchmarks.workloads import Workload

_DATASET = "__module__: megatron.energon\n__class__: CrudeWebdataset\n"
_PER_SEQUENCE = 100
"""Neighbours that are read in a row: what its documentation begins with."""


def write(work: Workload, folder: Path) -> None:
    tars.write(work, folder)
    names = sorted(path.name for path in folder.glob("*.tar"))
    BaseWebdatasetFactory.prepare_dataset(folder, names, split_parts_ratio=[("train", 1.0)], workers=2)
    (folder / ".nv-meta" / "dataset.yaml").write_text(_DATASET)


def open_stream(work: Workload, place: Place, workers: int) -> Stream:
    path = str(place.folder)
    if place.url is not None:
        path = _msc_path(place)
    dataset: Any = get_train_dataset(
        path,
        worker_config=WorkerConfig(rank=0, world_size=1, num_workers=workers),
        batch_size=read_size(work),
        shuffle_buffer_size=BUFFER,
        max_samples_per_sequence=_PER_SEQUENCE,
        task_encoder=_encoder(work),
        repeat=False,
    )
    loader = get_savable_loader(dataset, watchdog_timeout_seconds=None)

    def state() -> bytes:
        saved = io.BytesIO()
        torch.save(loader.save_state_rank(), saved)  # its documented way; there is no other
        return saved.getvalue()

    def restore(saved: bytes) -> None:
        loader.restore_state_rank(torch.load(io.BytesIO(saved), weights_only=False))

    return Stream(lambda: iter(loader), state, restore)


def _encoder(work: Workload) -> Any:
    """A task encoder that leaves contents as they are and makes batches as all systems here do."""
    names, collate = tars.names(work), Collate(work)

    @stateless  # type: ignore[untyped-decorator]
    def cook(sample: dict[str, Any]) -> dict[str, Any]:
        return {"__key__": sample["__key__"], "__restore_key__": sample["__restore_key__"]} | {
            name: sample[ending] for ending, name in names.items() if ending in sample
        }

    class Encoder(TaskEncoder):  # type: ignore[misc]
        decoder = None
        cookers = [Cooker(cook)]  # noqa: RUF012 - how it wants them

        @stateless  # type: ignore[untyped-decorator]
        def batch(self, samples: list[dict[str, Any]]) -> Batch:
            return collate(samples)

    return Encoder()


def _msc_path(place: Place) -> str:
    """The place as multi-storage-client names it, with its configuration written beside the cache."""
    assert place.url is not None
    bucket, _, prefix = place.url.removeprefix("s3://").partition("/")
    credentials = {"access_key": os.environ["AWS_ACCESS_KEY_ID"], "secret_key": os.environ["AWS_SECRET_ACCESS_KEY"]}
    profile = {
        "storage_provider": {
            "type": "s3",
            "options": {"endpoint_url": place.endpoint, "base_path": bucket, "region_name": "us-east-1"},
        },
        "credentials_provider": {"type": "S3Credentials", "options": credentials},
    }
    config = place.cache / "msc.json"
    config.write_text(json.dumps({"profiles": {"bench": profile}}))
    config.chmod(0o600)
    os.environ["MSC_CONFIG"] = str(config)
    return f"msc://bench/{prefix}"
