"""The loader without torch: the same batches as NumPy arrays, for JAX, scikit-learn and whatever takes arrays."""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ropeway.ahead import AHEAD, ahead
from ropeway.bad import BadSamples, OnBad
from ropeway.cache import DiskCache
from ropeway.collate import Collate, Ragged
from ropeway.cuts import Rule
from ropeway.decode import Decode, Decoder
from ropeway.epochs import Epochs
from ropeway.errors import UsageError
from ropeway.job import plan_job
from ropeway.mixing import Mix
from ropeway.order import Order, Shuffled
from ropeway.readings import Reading
from ropeway.steps import Tail
from ropeway.stream import Batch, Delivery, Streams
from ropeway.view import View
from ropeway.wanted import MEMORY, Wanted


class NumpyLoader(Epochs):
    """Iterate once per epoch; each batch is a dict of NumPy arrays and lists (see `ropeway.stream.deliveries`).

    Batches, order and saved states are those of `StreamingLoader`: a job saved by one goes on with the other. Arrays
    are the caller's own: `jax.device_put(batch["ecg"])` copies them to a device.

    Args:
        view, batch_size, global_batch_size, seed, parts, order, tail, on_bad, decoders, ragged, threads, memory,
            requests, cache: as for `StreamingLoader`; `ropeway.Nested()` is torch's and is refused.
        rank, world_size: by default torch.distributed's where it is in use, or the launcher's; in JAX
            `jax.process_index()` and `jax.process_count()`.

    Raises:
        UsageError: arguments that do not fit the view or the world; the message says what would.
    """

    def __init__(  # noqa: PLR0913 - the front door: every knob has a default
        self,
        view: View | Mix,
        batch_size: int | Rule | None = None,
        *,
        global_batch_size: int | None = None,
        seed: int = 0,
        parts: Sequence[str] | Mapping[str, Reading | str] | None = None,
        order: Order | None = None,
        tail: Tail = "drop",
        on_bad: OnBad = "raise",
        rank: int | None = None,
        world_size: int | None = None,
        decoders: Mapping[str, Decoder | Decode] | None = None,
        ragged: Mapping[str, Collate] | None = None,
        threads: int | None = None,
        memory: int = MEMORY,
        requests: int | None = None,
        cache: DiskCache | None = None,
    ) -> None:
        threads = os.cpu_count() or 1 if threads is None else threads
        wanted = Wanted.asked(parts, decoders, ragged, threads=threads, memory=memory, requests=requests, cache=cache)
        bad = BadSamples(on_bad)
        job = plan_job(
            view, batch_size, global_batch_size, order=order or Shuffled(), tail=tail, streams=Streams(wanted, bad),
            rank=rank, world_size=world_size,
        )  # fmt: skip
        super().__init__(job, bad, seed)
        self._ahead = min(memory // 4, AHEAD)

    def __iter__(self) -> Iterator[Batch]:
        epoch, position = self._begun()
        for delivery in ahead(lambda: self._job.deliveries(self._seed, epoch, position), _size, self._ahead):
            self._position = delivery.position
            yield {name: _array(name, value) for name, value in delivery.batch.items()}
        self.set_epoch(epoch + 1)


def _array(name: str, value: Any) -> Any:
    """Arrays in this machine's byte order, that may be written to."""
    if isinstance(value, Ragged):
        raise UsageError(f"part {name!r}: nested tensors are torch's: leave it a list, or take ropeway.Padded()")
    if isinstance(value, np.ndarray):
        native = value if value.dtype.isnative else value.astype(value.dtype.newbyteorder("="))
        return native if native.flags.writeable else native.copy()
    return value


def _size(delivery: Delivery) -> int:
    return sum(_bytes(value) for value in delivery.batch.values())


def _bytes(value: Any) -> int:
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, list | tuple):
        return sum(_bytes(each) for each in value)
    return 0
