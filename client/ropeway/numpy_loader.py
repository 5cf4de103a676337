"""The loader without torch: the same batches as NumPy arrays, for JAX, scikit-learn and whatever takes arrays."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ropeway.ahead import ahead
from ropeway.collate import Ragged
from ropeway.delivery import Batch, Delivery
from ropeway.epochs import Epochs
from ropeway.errors import UsageError


class NumpyLoader(Epochs):
    """Iterate once per epoch; each batch is a dict of NumPy arrays and lists (see `ropeway.stream.deliveries`).

    Batches, order and saved states are those of `StreamingLoader`: a job saved by one goes on with the other. Arrays
    are the caller's own: `jax.device_put(batch["ecg"])` copies them to a device.

    Its arguments are those of `StreamingLoader`, without `device`. In JAX, `rank` is `jax.process_index()` and
    `world_size` is `jax.process_count()`. `ropeway.Nested()` is torch's and is refused.

    Raises:
        UsageError: arguments that do not fit the view or the world; the message says what would.
    """

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
