"""Batches from DataLoader workers: they tell the dataset in the training process how far the job is.

A worker process reads ahead, and the DataLoader holds what has arrived; none of that has been given to anyone. So a
batch carries the position after it, and reports it when somebody first looks into it.
"""

import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from _collections_abc import dict_items, dict_keys, dict_values


class Mark(NamedTuple):
    """Where the whole world is after a batch of a certain dataset object."""

    dataset: str
    epoch: int
    position: int


class Listener:
    """Is told the marks of batches that were looked into; found by name in this process, if it lives here."""

    def __init__(self, name: str, hear: Callable[[Mark], None]) -> None:
        self.hear = hear
        _listeners[name] = self


_listeners: WeakValueDictionary[str, Listener] = WeakValueDictionary()


class WorkerBatch(dict[str, Any]):
    """A batch made by a worker process. A plain dict, but for its one report."""

    def __init__(self, batch: dict[str, Any], mark: Mark) -> None:
        super().__init__(batch)
        self._mark: Mark | None = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return WorkerBatch, (dict(super().items()), self._mark)

    def _looked_into(self) -> None:
        if self._mark is None or "_pin_memory_loop" in threading.current_thread().name:
            return  # reported before; or the DataLoader's own thread, which pins what nobody has asked for yet
        mark, self._mark = self._mark, None
        listener = _listeners.get(mark.dataset)
        if listener is not None:
            listener.hear(mark)

    def __getitem__(self, name: str) -> Any:
        self._looked_into()
        return super().__getitem__(name)

    def __iter__(self) -> Iterator[str]:
        self._looked_into()
        return super().__iter__()

    def get(self, name: str, default: Any = None) -> Any:
        self._looked_into()
        return super().get(name, default)

    def pop(self, name: str, *default: Any) -> Any:
        self._looked_into()
        return super().pop(name, *default)

    def keys(self) -> "dict_keys[str, Any]":
        self._looked_into()
        return super().keys()

    def values(self) -> "dict_values[str, Any]":
        self._looked_into()
        return super().values()

    def items(self) -> "dict_items[str, Any]":
        self._looked_into()
        return super().items()
