"""How rivals' samples become batches: one fast way for all of them, so that what differs is how they fetch."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from benchmarks.workloads import WANTED, Part, Workload

Batch = dict[str, Any]
"""Part → tensor (samples, …), or list; `label` → int64 tensor (samples,)."""

Item = Mapping[str, Any]
"""Part → stored content, absent or None where the sample lacks it; label name → class."""


class Collate:
    """Samples as stored → a batch. Picklable, for worker processes.

    Args:
        work: what the samples are. Those that it does not keep are dropped here, before they are decoded, unless the
            reader could leave them out itself.
    """

    def __init__(self, work: Workload) -> None:
        self.work = work

    def __call__(self, items: Sequence[Item]) -> Batch:
        keep, label = self.work.keep, self.work.label
        if keep is not None:
            items = [item for item in items if int(item[keep]) == WANTED]
        batch: Batch = {part.name: _PUT[part.kind](part, items) for part in self.work.parts}
        batch["label"] = torch.tensor([int(item[label]) for item in items], dtype=torch.int64)
        return batch


def read_size(work: Workload) -> int:
    """Samples to read for a batch, for readers that drop what is not wanted afterwards."""
    return work.batch if work.keep is None else work.batch * work.classes


def _arrays(part: Part, items: Sequence[Item]) -> torch.Tensor:
    if not part.every:  # one copy from the contents into the batch
        joined = bytearray().join([item[part.name] for item in items])
        return torch.frombuffer(joined, dtype=torch.int16).view(-1, *part.shape) if items else _zeros(part, 0)
    together = _zeros(part, len(items))
    for place, item in enumerate(items):
        content = item.get(part.name)
        if content is not None:
            together[place] = torch.frombuffer(bytearray(content), dtype=torch.int16).view(part.shape)
    return together


def _zeros(part: Part, count: int) -> torch.Tensor:
    return torch.zeros((count, *part.shape), dtype=torch.int16)


def _pictures(part: Part, items: Sequence[Item]) -> torch.Tensor:
    import simplejpeg

    make = torch.zeros if part.every else torch.empty
    together = make((len(items), *part.shape), dtype=torch.uint8)
    for place, item in enumerate(items):
        content = item.get(part.name)
        if content is not None:
            simplejpeg.decode_jpeg(content, "RGB", buffer=together[place].numpy())
    return together


def _texts(part: Part, items: Sequence[Item]) -> list[str]:
    return [str(bytes(item[part.name]), "utf-8") for item in items]


_PUT = {"array": _arrays, "picture": _pictures, "text": _texts}
