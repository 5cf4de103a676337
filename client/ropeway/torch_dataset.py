"""The same stream as a torch IterableDataset, for a plain DataLoader, Lightning or a Trainer."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any
from uuid import uuid4

from torch.utils.data import IterableDataset, get_worker_info

from ropeway.asked import Asked
from ropeway.bad import BadSamples
from ropeway.delivery import Batch
from ropeway.device import to_tensors
from ropeway.errors import StateError
from ropeway.handover import Listener, Mark, WorkerBatch
from ropeway.job import plan_job
from ropeway.report import report
from ropeway.stream import Streams

log = logging.getLogger(__name__)


@dataclass(eq=False, repr=False)
class StreamingDataset(Asked, IterableDataset[Batch]):
    """Yields whole batches: give it to `DataLoader(dataset, batch_size=None, num_workers=…)`.

    Worker processes decode; they do not choose: any number of them gives the batches that `StreamingLoader` gives, in
    the same order. `StreamingLoader` itself needs no worker processes and is faster.

    `state_dict()` in the training process counts the batches that were looked into there, whoever made them; what
    workers have read ahead does not count. Each iteration is a new epoch, or goes on where a loaded state says.

    Its arguments are those of `StreamingLoader`, without `device` and `threads`; each worker process has memory,
    requests and cache for itself. The rank is found out here, before any worker process starts.
    """

    def __post_init__(self) -> None:
        self._bad = BadSamples(self.on_bad)
        self._job = plan_job(self, Streams(self._wanted(threads=1), self._bad))
        self._seed, self._epoch, self._position = self.seed, 0, 0
        self._fresh = True
        self._skip: int | None = None
        self._name = uuid4().hex
        self._listener: Listener | None = Listener(self._name, self._hear)

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_listener": None}

    def __len__(self) -> int:
        """Steps of the epoch under way, from its beginning."""
        return self._job.steps(self._seed, self._epoch)

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        first, stride = (0, 1) if worker is None else (worker.id, worker.num_workers)
        if not self._fresh:  # the last iteration was left in the middle: its epoch is over
            self._epoch, self._position = self._epoch + 1, 0
        if self._skip is None:
            self._skip = first
        self._fresh = False
        epoch = self._epoch
        steps = self._job.deliveries(self._seed, epoch, self._position, offset=self._skip, stride=stride)
        for delivery in chain.from_iterable(steps):
            self._position, self._skip = delivery.position, stride - 1
            batch = to_tensors(delivery.batch)
            mark = Mark(self._name, epoch, delivery.position)
            yield batch if worker is None else WorkerBatch(batch, mark)
        self._epoch, self._position, self._fresh, self._skip = epoch + 1, 0, True, None
        for bad in self._bad.report():
            log.warning("replaced a bad sample: %s", bad)

    def state_dict(self) -> dict[str, int | str]:
        """Where the job is, as JSON under 1 KB; the same on every rank.

        In a worker process (torchdata's StatefulDataLoader asks there) it also says how many steps up to the worker's
        own next one are the other workers'.
        """
        state = self._job.state(self._seed, self._epoch, self._position)
        worker = get_worker_info()
        if worker is None:
            return state
        return state | {"skip": worker.id if self._skip is None else self._skip, "workers": worker.num_workers}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Go on where the saved job was, in a world of any size and with any number of workers.

        Raises:
            StateError: the state belongs to another view or another order, or to one of another number of workers.
        """
        restored = self._job.restore(state)
        worker = get_worker_info()
        workers = 1 if worker is None else worker.num_workers
        if state.get("workers", workers) != workers:
            raise StateError(
                f"this is the state of one of {state['workers']} worker processes, there are {workers} now: keep "
                "num_workers, or save the dataset's own state_dict() in the training process"
            )
        skip = state.get("skip")
        self._seed, self._epoch, self._position = restored.seed, restored.epoch, restored.position
        self._fresh, self._skip = True, skip if isinstance(skip, int) else None

    def report(self) -> dict[str, Any]:
        """Exactly what the job was given so far, as JSON, to keep beside its model; see `ropeway.report`.

        Bad samples that worker processes replaced are in those processes' logs alone.
        """
        return report(self, self._job, self.state_dict(), self._bad.report())

    def set_epoch(self, epoch: int) -> None:
        """Begin this epoch with the next iteration."""
        self._epoch, self._position, self._fresh, self._skip = epoch, 0, True, None

    def _hear(self, mark: Mark) -> None:
        """A worker's batch was looked into, here in the training process."""
        if mark.position >= self._job.end(self._seed, mark.epoch):
            self._epoch, self._position, self._fresh = mark.epoch + 1, 0, True
        else:
            self._epoch, self._position, self._fresh = mark.epoch, mark.position, False
