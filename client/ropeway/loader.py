"""The loader: shuffled batches of a view as torch tensors, read ahead by threads. The fast path."""

import logging
import os
import queue
import threading
from collections.abc import Iterator, Mapping, Sequence
from time import perf_counter
from typing import Any

import numpy as np
import torch

from ropeway.bad import BadSample, BadSamples, OnBad
from ropeway.cuts import Rule
from ropeway.decode import Decode, Decoder
from ropeway.job import plan_job
from ropeway.meter import Meter, Stats
from ropeway.mix_job import MixJob
from ropeway.mixing import Mix
from ropeway.order import Order, Shuffled
from ropeway.steps import Tail
from ropeway.stream import MEMORY, REQUESTS, Batch, Decoding, Delivery
from ropeway.view import View

log = logging.getLogger(__name__)

AHEAD = 2
"""Batches kept ready."""


class StreamingLoader:
    """Iterate once per epoch; each batch is a dict of tensors and lists (see `ropeway.stream.deliveries`).

    Every rank takes the same number of steps. A new iteration is a new epoch (or goes on where a loaded state says).

        for epoch in range(10):
            for batch in loader:
                ...

    Args:
        view: what to stream: a view, or a mix of views (`ropeway.mix`).
        batch_size: samples per rank and step, or a rule: `Budget` where samples differ widely in size, `Groups` to keep
            subjects together; or
        global_batch_size: samples per step over all ranks. Fix this one to get the same global batches in any world.
        seed: of the shuffle; with the epoch it fixes the order.
        parts: part names; None for all, [] for keys and labels only.
        order: `Shuffled()` or `Sequential()`.
        tail: the samples left over at an epoch's end: "drop" them, "pad" with masked repeats (`__mask__`, True = real),
            or "wrap" to the epoch's first samples.
        on_bad: what a sample that is damaged or does not decode does: "raise", or `ropeway.substitute(limit=…)`.
        device: where tensors go; None leaves them on the host.
        rank, world_size: by default torch.distributed's, or the launcher's.
        decoders: own decoders, by part name or format.
        threads: decode threads for images and the like; the machine's cores by default.
        memory: bytes of shard ranges held or under way, for shards that are not local files.
        requests: range requests at once.

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
        parts: Sequence[str] | None = None,
        order: Order | None = None,
        tail: Tail = "drop",
        on_bad: OnBad = "raise",
        device: str | torch.device | None = None,
        rank: int | None = None,
        world_size: int | None = None,
        decoders: Mapping[str, Decoder | Decode] | None = None,
        threads: int | None = None,
        memory: int = MEMORY,
        requests: int = REQUESTS,
    ) -> None:
        self._bad = BadSamples(on_bad)
        decoding = Decoding(
            parts=None if parts is None else tuple(parts),
            decoders=decoders or {},
            threads=threads or os.cpu_count() or 1,
            memory=memory,
            requests=requests,
            bad=self._bad,
        )
        self._job = plan_job(
            view, batch_size, global_batch_size, order=order or Shuffled(), tail=tail, decoding=decoding, rank=rank,
            world_size=world_size,
        )  # fmt: skip
        self._device = None if device is None else torch.device(device)
        self._seed, self._epoch, self._position = seed, 0, 0
        self._fresh = True
        self._meter = Meter()

    def __len__(self) -> int:
        """Steps of the epoch under way, from its beginning."""
        return self._job.steps(self._seed, self._epoch)

    def __iter__(self) -> Iterator[Batch]:
        if not self._fresh:  # the last iteration was left in the middle: its epoch is over
            self._epoch, self._position = self._epoch + 1, 0
        self._fresh = False
        epoch = self._epoch
        self._meter.begin()
        waiting = perf_counter()
        for delivery in _ahead(self._job.deliveries(self._seed, epoch, self._position), AHEAD):
            self._position = delivery.position
            batch = to_tensors(delivery.batch, self._device)
            self._meter.delivered(delivery.samples, delivery.bytes, perf_counter() - waiting)
            yield batch
            waiting = perf_counter()
        self._epoch, self._position, self._fresh = epoch + 1, 0, True
        for bad in self._bad.report():
            log.warning("replaced a bad sample: %s", bad)

    def state_dict(self) -> dict[str, int | str]:
        """Where the job is, as JSON under 1 KB; the same on every rank. Only batches given to the caller count."""
        return self._job.state(self._seed, self._epoch, self._position)

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Go on where the saved job was, in a world of any size; the seed comes along.

        Raises:
            StateError: the state belongs to another view or another order.
        """
        restored = self._job.restore(state)
        self._seed, self._epoch, self._position = restored.seed, restored.epoch, restored.position
        self._fresh = True

    def set_epoch(self, epoch: int) -> None:
        """Begin this epoch with the next iteration."""
        self._epoch, self._position, self._fresh = epoch, 0, True

    @property
    def epoch(self) -> int:
        """The epoch under way, or the next one to begin."""
        return self._epoch

    @property
    def source_epochs(self) -> dict[str, float]:
        """For a mix: how often each source has been gone through by now."""
        return self._job.epochs(self._seed, self._epoch, self._position) if isinstance(self._job, MixJob) else {}

    @property
    def bad(self) -> tuple[BadSample, ...]:
        """The samples that were replaced on this rank so far, and why."""
        return self._bad.report()

    def stats(self) -> Stats:
        """Samples, bytes and seconds so far, on this rank."""
        return self._meter.stats(bad=len(self._bad.report()))


def to_tensors(batch: Batch, device: torch.device | None) -> Batch:
    """Arrays as tensors (sharing memory on the host), lists of arrays as lists of tensors; all else as it is."""

    def convert(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            writable = value if value.flags.writeable else value.copy()
            native = writable if writable.dtype.isnative else writable.astype(writable.dtype.newbyteorder("="))
            tensor = torch.from_numpy(native)
            return tensor if device is None else tensor.to(device, non_blocking=True)
        if isinstance(value, list):
            return [convert(each) for each in value] if value and not isinstance(value[0], str) else value
        if isinstance(value, dict):
            return {name: convert(each) for name, each in value.items()}
        return value

    return {name: convert(value) for name, value in batch.items()}


def _ahead(source: Iterator[Delivery], depth: int) -> Iterator[Delivery]:
    """The same deliveries, made by a thread that stays up to `depth` ahead and ends with this generator."""
    ready: queue.Queue[Delivery | BaseException | None] = queue.Queue(depth)
    left = threading.Event()

    def put(outcome: Delivery | BaseException | None) -> bool:
        while not left.is_set():
            try:
                ready.put(outcome, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        try:
            for delivery in source:
                if not put(delivery):
                    return
        except BaseException as error:  # noqa: BLE001 - handed to the consuming thread, which raises it
            put(error)
        else:
            put(None)
        finally:
            source.close()  # type: ignore[attr-defined]

    worker = threading.Thread(target=work, name="ropeway-loader", daemon=True)
    worker.start()
    try:
        while (outcome := ready.get()) is not None:
            if isinstance(outcome, BaseException):
                raise outcome
            yield outcome
    finally:
        left.set()
        worker.join()
