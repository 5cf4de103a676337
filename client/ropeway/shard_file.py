"""One part's content as a file that reads only what it is asked for: from memory, or from its shard by range."""

import io
from collections.abc import Callable

from ropeway.shard_bytes import ShardBytes


class ShardFile(io.RawIOBase):
    """A seekable, read-only file over a run of bytes. Each read of a remote one is one request.

    Args:
        fetch: bytes `start` to `stop` of the content.
        size: bytes of the content.

    Attributes:
        taken: bytes that were read so far.
    """

    def __init__(self, fetch: Callable[[int, int], memoryview], size: int) -> None:
        super().__init__()
        self._fetch, self._size, self._at = fetch, size, 0
        self.taken = 0

    @classmethod
    def over(cls, content: memoryview) -> "ShardFile":
        """A file over content that is there already."""
        return cls(lambda start, stop: content[start:stop], len(content))

    @classmethod
    def within(cls, reader: ShardBytes, shard: int, offset: int, length: int) -> "ShardFile":
        """A file over `length` bytes of a shard from `offset` on."""
        return cls(lambda start, stop: reader.read(shard, offset + start, offset + stop), length)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"seek to {base + offset}, before the content's first byte")
        self._at = base + offset
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        stop = self._size if size is None or size < 0 else min(self._size, self._at + size)
        if stop <= self._at:
            return b""
        content = bytes(self._fetch(self._at, stop))
        self._at, self.taken = stop, self.taken + len(content)
        return content

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        content = self.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)
