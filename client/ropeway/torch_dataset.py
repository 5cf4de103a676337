"""The same stream as a torch IterableDataset, for a plain DataLoader, Lightning or a Trainer."""

from collections.abc import Iterator, Mapping, Sequence

from torch.utils.data import IterableDataset, get_worker_info

from ropeway.decode import Decode, Decoder
from ropeway.errors import UsageError
from ropeway.job import plan_job
from ropeway.loader import to_tensors
from ropeway.order import Order, Shuffled
from ropeway.steps import Tail
from ropeway.stream import Batch, Decoding, choose_parts
from ropeway.view import View


class StreamingDataset(IterableDataset[Batch]):
    """Yields whole batches: give it to `DataLoader(dataset, batch_size=None, num_workers=…)`.

    Worker processes decode; they do not choose: any number of them gives the batches that `StreamingLoader` gives, in
    the same order. `StreamingLoader` itself needs no worker processes and is faster.

    Args:
        view, batch_size, global_batch_size, seed, parts, order, tail, rank, world_size, decoders: as for
            `StreamingLoader`. The rank is found out here, before any worker process starts.
    """

    def __init__(  # noqa: PLR0913 - the front door: every knob has a default
        self,
        view: View,
        batch_size: int | None = None,
        *,
        global_batch_size: int | None = None,
        seed: int = 0,
        parts: Sequence[str] | None = None,
        order: Order | None = None,
        tail: Tail = "drop",
        rank: int | None = None,
        world_size: int | None = None,
        decoders: Mapping[str, Decoder | Decode] | None = None,
    ) -> None:
        super().__init__()
        decoding = Decoding(parts=choose_parts(view, parts), decoders=decoders or {}, threads=1)
        self._job = plan_job(
            view, batch_size=batch_size, global_batch_size=global_batch_size, seed=seed, order=order or Shuffled(),
            tail=tail, decoding=decoding, rank=rank, world_size=world_size,
        )  # fmt: skip
        self._seed, self._epoch, self._position = seed, 0, 0
        self._fresh, self._read_here = True, False

    def __len__(self) -> int:
        """Steps of a whole epoch."""
        return self._job.steps

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        offset, stride = (0, 1) if worker is None else (worker.id, worker.num_workers)
        if not self._fresh:  # the last iteration was left in the middle: its epoch is over
            self._epoch, self._position = self._epoch + 1, 0
        self._fresh, self._read_here = False, True
        epoch = self._epoch
        steps = self._job.deliveries(self._seed, epoch, self._position, offset=offset, stride=stride)
        for delivery in steps:
            self._position = delivery.position
            yield to_tensors(delivery.batch, None)
        self._epoch, self._position, self._fresh = epoch + 1, 0, True

    def state_dict(self, *, steps: int | None = None) -> dict[str, int | str]:
        """Where the job is, as JSON under 1 KB; the same on every rank.

        Args:
            steps: batches received since this epoch began or a state was loaded. Needed where worker processes read:
                this process does not see what they have handed over, and what they prefetched must not count.

        Raises:
            UsageError: nothing was read in this process, and `steps` is not given.
        """
        if steps is not None:
            position = min(self._position + steps * self._job.batching.global_batch, self._job.view.samples)
            return self._job.state(self._epoch, position) | {"seed": self._seed}
        if not self._read_here and self._fresh and not self._position:
            raise UsageError(
                "nothing was read in this process: where DataLoader workers read, give the number of batches you "
                "received, state_dict(steps=…)"
            )
        return self._job.state(self._epoch, self._position) | {"seed": self._seed}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Go on where the saved job was, in a world of any size and with any number of workers.

        Raises:
            StateError: the state belongs to another view or another order.
        """
        restored = self._job.restore(state)
        self._seed, self._epoch, self._position = restored.seed, restored.epoch, restored.position
        self._fresh = True

    def set_epoch(self, epoch: int) -> None:
        """Begin this epoch with the next iteration; with worker processes call it before every epoch."""
        self._epoch, self._position, self._fresh = epoch, 0, True
