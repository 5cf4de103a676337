"""Where the bytes of a range go."""

from collections.abc import Callable
from dataclasses import dataclass

from ropeway.buffers import Pool
from ropeway.samples import Bytes


@dataclass(frozen=True, slots=True)
class Pieces:
    """How a range is received of which the first bytes are wanted before the last ones are there.

    Attributes:
        size: bytes of a piece; the last one may have fewer.
        arrived: is told where in the object a piece begins, and its bytes, as soon as they are there. Of two requests
            for the same range each tells of its own.
    """

    size: int
    arrived: Callable[[int, memoryview], None]

    def cut(self, start: int, content: memoryview) -> None:
        """Tell of a range that begins there and has come as a whole."""
        for at in range(0, len(content), self.size):
            self.arrived(start + at, content[at : at + self.size])


@dataclass(slots=True, eq=False)
class Target:
    """Where one request after the other puts the bytes `start` to `stop`; the first `done` of them are there.

    Each thread fills its own, and whoever lets go of it lets go of the buffer: of all of them, or of the piece that
    is being filled.
    """

    start: int
    stop: int | None
    pieces: Pieces | None = None
    done: int = 0
    buffer: Bytes | None = None
    total: int | None = None
    etag: str = ""

    @property
    def missing(self) -> int:
        """Bytes that are not there yet, once it is known how many are wanted."""
        assert self.stop is not None
        return self.stop - self.start - self.done

    def room(self, buffers: Pool) -> memoryview:
        """Where the next bytes go."""
        if self.buffer is None:
            self.buffer = buffers.take(self.missing if self.pieces is None else min(self.pieces.size, self.missing))
        return self.buffer.data[self._filled :]

    def add(self, size: int) -> None:
        """Count so many more bytes that are there."""
        filled = self._filled + size
        self.done += size
        if self.pieces is not None and self.buffer is not None and filled == len(self.buffer):
            piece, self.buffer = self.buffer.data, None
            self.pieces.arrived(self.start + self.done - filled, piece)

    @property
    def _filled(self) -> int:
        """Bytes of the buffer that are there."""
        return self.done if self.pieces is None else self.done % self.pieces.size
