"""One request for several blocks, each of which is there as soon as its own bytes are."""

from concurrent.futures import Future

from ropeway.errors import StoreError
from ropeway.ranges import Pieces


class Run:
    """A range of a shard on its way, by blocks.

    It holds the blocks that have not come, and none that has: whoever waited for one decides how long it is kept.

    Args:
        start, stop: its bytes.
        size: of a block; the last one may have fewer bytes.
    """

    def __init__(self, start: int, stop: int, size: int) -> None:
        self._coming: dict[int, Future[memoryview]] = {at: Future() for at in range(start, stop, size)}
        self.pieces = Pieces(size, self._arrived)

    def blocks(self) -> list[tuple[int, Future[memoryview]]]:
        """Where each block that has not come begins, and its content."""
        return list(self._coming.items())

    def follow(self, request: Future[None]) -> None:
        """Fail what has not come when its request ends."""
        request.add_done_callback(self._end)

    def _arrived(self, at: int, content: memoryview) -> None:
        block = self._coming.pop(at, None)
        if block is not None:  # of two requests for the same range the faster one counts
            block.set_result(content)

    def _end(self, request: Future[None]) -> None:
        problem = request.exception() or StoreError("the store gave fewer bytes than it was asked for")
        for at in list(self._coming):
            block = self._coming.pop(at, None)
            if block is not None:
                block.set_exception(problem)
