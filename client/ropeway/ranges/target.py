"""Where the bytes of a range go."""

from dataclasses import dataclass

from ropeway.samples import Bytes


@dataclass(slots=True, eq=False)
class Target:
    """Where one request after the other puts the bytes `start` to `stop`; the first `done` of them are there.

    Each thread fills its own, and whoever lets go of it lets go of the buffer.
    """

    start: int
    stop: int | None
    done: int = 0
    buffer: Bytes | None = None
    total: int | None = None
    etag: str = ""

    @property
    def left(self) -> memoryview:
        assert self.buffer is not None
        return self.buffer.data[self.done :]
