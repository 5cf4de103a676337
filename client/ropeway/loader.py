"""The loader: shuffled batches of a view as torch tensors, read ahead by threads. The fast path."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from time import perf_counter

import torch

from ropeway import device as devices
from ropeway.ahead import ahead
from ropeway.delivery import Batch, Delivery
from ropeway.device import Sent
from ropeway.epochs import Epochs
from ropeway.meter import Meter, Stats
from ropeway.mix_job import MixJob

log = logging.getLogger(__name__)

Hook = Callable[[dict[str, float], int], object]
"""Takes `Stats.flat()` and the number of batches so far: `wandb.log` is one."""


@dataclass(eq=False, repr=False, kw_only=True)
class StreamingLoader(Epochs):
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
        parts: part names; None for all (of originals beside them, `<part>_raw`, those that decode), [] for keys and
            labels only; or part name → reading, where a bit of a part is enough, or the name of a model-ready form:
            `{"ct": ropeway.Slab(10, 26), "ecg": "ecg-12x5000"}` (`ropeway.model_ready`).
        order: `Shuffled()` or `Sequential()`.
        tail: the samples left over at an epoch's end: "drop" them, "pad" with masked repeats (`__mask__`, True = real),
            or "wrap" to the epoch's first samples.
        on_bad: what a sample that is damaged or does not decode does: "raise", or `ropeway.substitute(limit=…)`.
        device: where tensors go; None leaves them on the host.
        rank, world_size: by default torch.distributed's, or the launcher's.
        decoders: own decoders, by part name or format.
        ragged: by part name, for arrays that differ in shape: `ropeway.Padded()` or `ropeway.Nested()`; else lists.
        threads: decode threads for images and the like; the machine's cores by default.
        memory: bytes that the loader may hold: ranges of shards under way or not yet used up (shards that are local
            files are mapped instead), and batches made ahead.
        requests: range requests at once; by default as many as the view's ranges want (`ropeway.tuning.suggest`).
        request_bytes: of one range request, at most; by default up to 16 MiB, or 32 where most of the view is needed
            before the first batches are complete.
        cache: a `ropeway.DiskCache`, where ranges of shards that are not local files are kept for later epochs.

    Raises:
        UsageError: arguments that do not fit the view or the world; the message says what would.
    """

    device: str | torch.device | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._target = devices.target(self.device)
        self._streams.pool = self._target.pool(self.memory // 4)
        self._hooks: list[tuple[Hook, int]] = []
        self._meter = Meter()

    def __iter__(self) -> Iterator[Batch]:
        epoch, position = self._begun()
        self._meter.begin()
        waiting = perf_counter()
        for delivery, sent in ahead(
            lambda: self._sent(epoch, position), lambda made: devices.size(made[1].batch), self._ahead
        ):
            self._position = delivery.position
            batch = self._target.receive(sent)
            self._meter.delivered(delivery.samples, delivery.bytes, delivery.unchecked, perf_counter() - waiting)
            self._tell()
            del delivery, sent
            yield batch
            del batch
            waiting = perf_counter()
        self.set_epoch(epoch + 1)
        for bad in self._bad.report():
            log.warning("replaced a bad sample: %s", bad)

    def _sent(self, epoch: int, position: int) -> Iterator[list[tuple[Delivery, Sent]]]:
        """The epoch's batches from a position, on their way to the device; runs in the loader's thread."""
        for deliveries in self._job.deliveries(self._seed, epoch, position):
            with self._streams.stages.stage("device"):
                sent = [(replace(made, batch={}), self._target.send(made.batch)) for made in deliveries]
            yield sent

    def _tell(self) -> None:
        batches = self._meter.batches
        for hook, every in self._hooks:
            if batches % every == 0:
                hook(self.stats().flat(), batches)

    def watch(self, hook: Hook, *, every: int = 100) -> None:
        """Call `hook(figures, batches)` with `Stats.flat()` every so many batches: `loader.watch(wandb.log)`."""
        self._hooks.append((hook, every))

    @property
    def source_epochs(self) -> dict[str, float]:
        """For a mix: how often each source has been gone through by now."""
        return self._job.epochs(self._seed, self._epoch, self._position) if isinstance(self._job, MixJob) else {}

    def stats(self) -> Stats:
        """Samples, bytes, seconds and what was asked of stores so far, on this rank; `stats().verdict` sums it up."""
        streams, cache = self._streams, self._streams.wanted.cache
        return self._meter.stats(
            bad=len(self._bad.report()),
            stages=streams.stages,
            traffic=streams.traffic(),
            cache=None if cache is None else cache.counters(),
        )
