"""Streams a dataset's folder with Megatron-Energon's own loader: key → extension → sha256 of the content, as JSON."""

import hashlib
import json
import sys
from typing import Any

from megatron.energon import (
    Cooker,
    TaskEncoder,
    WorkerConfig,
    get_loader,
    get_train_dataset,
    get_val_dataset,
    stateless,
)


@stateless  # type: ignore[untyped-decorator]
def cook(sample: dict[str, Any]) -> dict[str, Any]:
    contents = {name: value for name, value in sample.items() if isinstance(value, bytes)}
    return {name: sample[name] for name in ("__key__", "__restore_key__", "__subflavors__")} | {"contents": contents}


class Encoder(TaskEncoder):  # type: ignore[misc]
    decoder = None
    cookers = [Cooker(cook)]  # noqa: RUF012 - how it wants them

    @stateless  # type: ignore[untyped-decorator]
    def batch(self, samples: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return samples


def main(folder: str) -> None:
    workers = WorkerConfig(rank=0, world_size=1, num_workers=0)
    common: dict[str, Any] = {"worker_config": workers, "batch_size": 1, "task_encoder": Encoder()}
    train = get_train_dataset(folder, **common, repeat=False, shuffle_buffer_size=None, max_samples_per_sequence=None)
    streams = [train, get_val_dataset(folder, **common)]
    found: list[dict[str, dict[str, str]]] = []
    for stream in streams:
        seen = {}
        for [sample] in get_loader(stream, watchdog_timeout_seconds=None):
            contents = sample["contents"].items()
            seen[sample["__key__"]] = {name: hashlib.sha256(content).hexdigest() for name, content in contents}
        found.append(seen)
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
