"""Batches as torch tensors: sharing memory on the host, or copied to a GPU beside its work, one batch ahead."""

from collections import deque
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from ropeway import nvjpeg
from ropeway.buffers import Pool
from ropeway.collate import Ragged
from ropeway.delivery import Batch
from ropeway.errors import UsageError
from ropeway.samples import Bytes


@dataclass(frozen=True, slots=True)
class Sent:
    """A batch on its way; `arrived` is recorded behind its copies, None where there is nothing to wait for."""

    batch: Batch
    arrived: torch.cuda.Event | None = None


class Target(Protocol):
    """Where tensors go."""

    def pool(self, keep: int) -> Pool:
        """The memory that batches should be made in."""
        ...

    def send(self, batch: Batch) -> Sent:
        """Begin to bring a batch of arrays there; called ahead of time, by the thread that makes batches."""
        ...

    def receive(self, sent: Sent) -> Batch:
        """The batch of tensors, for the caller's thread and stream."""
        ...


def target(device: str | torch.device | None) -> Target:
    """Where a loader's tensors go: None leaves them on the host.

    Raises:
        UsageError: torch knows no such device, or finds no such GPU here.
    """
    if device is None:
        return Host()
    try:
        wanted = torch.device(device)
    except RuntimeError as error:
        raise UsageError(f"torch knows no device {device!r}: give 'cuda', 'cuda:1', or None for the host") from error
    if wanted.type != "cuda":
        return Elsewhere(wanted)
    count = torch.cuda.device_count()
    if (wanted.index or 0) >= count:
        raise UsageError(f"no GPU for device={str(wanted)!r}: torch finds {count} here; `ropeway doctor` looks closer")
    return Gpu(wanted)


class Host:
    """Tensors that share the arrays' memory."""

    def pool(self, keep: int) -> Pool:
        return Pool(keep=keep)

    def send(self, batch: Batch) -> Sent:
        return Sent(to_tensors(batch))

    def receive(self, sent: Sent) -> Batch:
        return sent.batch


class Elsewhere(Host):
    """Tensors on a device that torch copies to by itself."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def send(self, batch: Batch) -> Sent:
        return Sent(_moved(to_tensors(batch), self._device))


class Gpu:
    """Tensors on a CUDA device: made in pinned memory, copied on a stream of their own."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._flying: deque[tuple[torch.cuda.Event, Batch]] = deque()

    def pool(self, keep: int) -> Pool:
        return Pool(keep=keep, make=_pinned, pinned=True)

    def send(self, batch: Batch) -> Sent:
        while self._flying and self._flying[0][0].query():  # type: ignore[no-untyped-call]
            self._flying.popleft()  # only now may its pinned memory be used again
        encoded = {name: value for name, value in batch.items() if _is_encoded(value)}
        host = to_tensors({name: value for name, value in batch.items() if name not in encoded})
        with torch.cuda.stream(self._stream):
            there = _moved(host, self._device)
            there |= {name: nvjpeg.decoded(values, self._device) for name, values in encoded.items()}
            arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
            arrived.record(self._stream)
        self._flying.append((arrived, host))
        return Sent(there, arrived)

    def receive(self, sent: Sent) -> Batch:
        stream = torch.cuda.current_stream(self._device)
        if sent.arrived is not None:
            stream.wait_event(sent.arrived)
        for tensor in _tensors(sent.batch):
            tensor.record_stream(stream)  # its memory was given out by the copying stream
        return sent.batch


def to_tensors(batch: Batch) -> Batch:
    """Arrays as tensors that share their memory, lists of arrays as lists of tensors; all else as it is."""
    return {name: _tensor(value) for name, value in batch.items()}


def size(batch: Batch) -> int:
    """Bytes of a batch's tensors."""
    return sum(tensor.nbytes for tensor in _tensors(batch))


def _tensor(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        writable = value if value.flags.writeable else value.copy()
        native = writable if writable.dtype.isnative else writable.astype(writable.dtype.newbyteorder("="))
        return torch.from_numpy(native) if native.dtype.kind in "biufc" else native  # arrays of text stay as they are
    if isinstance(value, nvjpeg.Encoded):
        raise UsageError("JPEGs left to the GPU, but the tensors go elsewhere: give device='cuda'")
    if isinstance(value, Ragged):
        return torch.nested.nested_tensor([_tensor(array) for array in value.values], layout=torch.jagged)
    if isinstance(value, list):
        return [_tensor(each) for each in value] if value and not isinstance(value[0], str) else value
    if isinstance(value, dict):
        return {name: _tensor(each) for name, each in value.items()}
    return value


def _is_encoded(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(each, nvjpeg.Encoded) for each in value)


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, torch.Tensor):
        return value.to(device, non_blocking=True)
    if isinstance(value, list) and value and not isinstance(value[0], str):
        return [_moved(each, device) for each in value]
    if isinstance(value, dict):
        return {name: _moved(each, device) for name, each in value.items()}
    return value


def _tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, dict):
        return [tensor for each in value.values() for tensor in _tensors(each)]
    if isinstance(value, list) and value and not isinstance(value[0], str):
        return [tensor for each in value for tensor in _tensors(each)]
    return []


def _pinned(count: int) -> Bytes:
    return torch.empty(count, dtype=torch.uint8, pin_memory=True).numpy()
