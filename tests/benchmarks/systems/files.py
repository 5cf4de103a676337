"""Plain torch: a Dataset over one file per part and sample, a random sampler, a DataLoader."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, Dataset

from benchmarks.batches import Collate
from benchmarks.places import Place, Unable
from benchmarks.systems import Stream
from benchmarks.workloads import WANTED, Workload

_PER_FOLDER = 1000


def write(work: Workload, folder: Path) -> None:
    for sample in work:
        under = folder / f"{sample.number // _PER_FOLDER:04d}"
        under.mkdir(exist_ok=True)
        for name, content in sample.contents.items():
            (under / f"{sample.key}.{name}").write_bytes(content)
    numbers = np.arange(work.samples)
    labels = {name: work.labels(name, numbers).tolist() for name in work.label_names}
    (folder / "labels.json").write_text(json.dumps(labels))


class Files(Dataset[dict[str, Any]]):
    """Sample by sample; which ones a subset keeps is known from the labels, without opening any."""

    def __init__(self, work: Workload, folder: Path) -> None:
        labels = json.loads((folder / "labels.json").read_text())
        self._labels = {name: np.array(column) for name, column in labels.items()}
        numbers = np.arange(work.samples)
        self._numbers = numbers if work.keep is None else np.flatnonzero(self._labels[work.keep] == WANTED)
        self._work, self._folder = work, str(folder)

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, place: int) -> dict[str, Any]:
        number = int(self._numbers[place])
        stem = f"{self._folder}/{number // _PER_FOLDER:04d}/s{number:07d}."
        item: dict[str, Any] = {name: column[number] for name, column in self._labels.items()}
        for part in self._work.parts:
            if not part.lacks(number):
                with open(stem + part.name, "rb", buffering=0) as file:  # noqa: PTH123 - Path costs microseconds
                    item[part.name] = file.read()
        return item


def open_stream(work: Workload, place: Place, workers: int) -> Stream:
    if place.url is not None:
        raise Unable("reads paths only")
    loader = DataLoader(
        Files(work, place.folder), work.batch, shuffle=True, num_workers=workers, collate_fn=Collate(work)
    )
    return Stream(epoch=lambda: iter(loader))
