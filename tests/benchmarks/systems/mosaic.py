"""mosaicml-streaming: MDS shards without compression, its default shuffle."""

import json
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks.batches import Batch, Collate, read_size
from benchmarks.places import Place, environment
from benchmarks.systems import SEED, SHARD_BYTES, Stream
from benchmarks.workloads import Workload


def _library() -> Any:
    """The library. It imports torchvision for classes not used here, whose wheel may be for another torch."""
    try:
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError):
        for name in [name for name in sys.modules if name.startswith("torchvision")]:
            del sys.modules[name]
        for name in (
            "torchvision",
            "torchvision.datasets",
            "torchvision.transforms",
            "torchvision.transforms.functional",
        ):
            module = ModuleType(name)
            module.__spec__ = ModuleSpec(name, None)
            sys.modules[name] = module
        sys.modules["torchvision.datasets"].VisionDataset = object  # type: ignore[attr-defined]
        sys.modules["torchvision.transforms.functional"].to_tensor = None  # type: ignore[attr-defined]
    import streaming

    return streaming


streaming = _library()


def write(work: Workload, folder: Path) -> None:
    columns = {part.name: "bytes" for part in work.parts} | dict.fromkeys(work.label_names, "int")
    with streaming.MDSWriter(out=str(folder), columns=columns, size_limit=SHARD_BYTES, progress_bar=False) as writer:
        for sample in work:
            writer.write({**sample.contents, **sample.labels})


def open_stream(work: Workload, place: Place, workers: int) -> Stream:
    streaming.base.util.clean_stale_shared_memory()
    size = read_size(work)
    where = {"local": str(place.folder)} if place.url is None else {"remote": place.url, "local": str(place.cache)}
    dataset = streaming.StreamingDataset(**where, shuffle=True, shuffle_seed=SEED, batch_size=size)
    loader = streaming.StreamingDataLoader(
        dataset, batch_size=size, num_workers=workers, collate_fn=Collate(work), persistent_workers=False
    )

    def epoch() -> Iterator[Batch]:
        with environment({} if place.url is None else {"S3_ENDPOINT_URL": place.endpoint}):
            yield from loader

    return Stream(
        epoch,
        state=lambda: json.dumps(loader.state_dict()).encode(),
        restore=lambda saved: loader.load_state_dict(json.loads(saved)),
    )
