"""What a loader streams, decided once: view, order, batching, seed. Shared by the loader and the torch dataset."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ropeway import stream
from ropeway.errors import UsageError
from ropeway.order import Order
from ropeway.state import State, from_json
from ropeway.steps import Batching, Tail
from ropeway.stream import Decoding, Delivery
from ropeway.view import View
from ropeway.world import World, detect


@dataclass(frozen=True, slots=True)
class Job:
    """A view in an order, dealt in global batches, decoded in a way."""

    view: View
    order: Order
    batching: Batching
    decoding: Decoding
    seed: int
    order_digest: str

    @property
    def steps(self) -> int:
        """Steps of a whole epoch; the same on every rank."""
        return self.batching.count(self.view.samples)

    def state(self, epoch: int, position: int) -> dict[str, int | str]:
        """The saved form of a position."""
        return State(self.seed, epoch, position, self.view.id, self.order_digest).to_json()

    def restore(self, saved: Mapping[str, object]) -> State:
        """Read a saved position.

        Raises:
            StateError: it belongs to another view or order, or was saved with another seed.
        """
        return from_json(saved, view=self.view.id, order=self.order_digest, samples=self.view.samples)

    def deliveries(
        self, seed: int, epoch: int, position: int, *, offset: int = 0, stride: int = 1
    ) -> Iterator[Delivery]:
        """This rank's batches from a position to the end of the epoch."""
        sequence = self.order.epoch(self.view.table(), seed, epoch)
        return stream.deliveries(
            self.view, sequence, self.batching, self.decoding, position, offset=offset, stride=stride
        )


def plan_job(
    view: View, *, batch_size: int | None, global_batch_size: int | None, seed: int, order: Order, tail: Tail,
    decoding: Decoding, rank: int | None, world_size: int | None,
) -> Job:  # fmt: skip
    """Check what a loader was asked for, and find out which rank this is.

    Raises:
        UsageError: not exactly one of the batch sizes, a rank without a world size, a world that does not divide the
            global batch, or a view too small for one batch when the tail is dropped.
    """
    if (rank is None) != (world_size is None):
        raise UsageError("give both rank= and world_size=, or neither")
    world = detect() if rank is None or world_size is None else World(rank, world_size)
    if (batch_size is None) == (global_batch_size is None):
        raise UsageError("give one of batch_size= (per rank) and global_batch_size=")
    whole = global_batch_size if global_batch_size is not None else (batch_size or 0) * world.size
    batching = Batching(whole, world, tail)
    if batching.count(view.samples) == 0:
        raise UsageError(
            f"the view has {view.samples} samples, fewer than one global batch of {whole}: take a smaller batch, "
            "or tail='pad' or 'wrap'"
        )
    return Job(view, order, batching, decoding, seed, order.digest(view.table()))
