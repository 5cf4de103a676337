"""The formats of a dataset's parts: declared, or where its samples differ, read from the members' names in the tars."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ropeway import tar
from ropeway.manifest import Part
from ropeway.samples import Samples

_AT_ONCE = 16
"""Names read side by side, when a folder is listed."""

Read = Callable[[int, int, int], bytes | memoryview]
"""Bytes of a shard of the table: its number, start and stop."""


class Formats:
    """The format of each part of each sample, as far as somebody asked.

    Args:
        parts: of the dataset.
        table: its samples.
        read: their shards.
    """

    def __init__(self, parts: Sequence[Part], table: Samples, read: Read) -> None:
        self._declared = {part.name: part.format for part in parts if part.format}
        self._table, self._read = table, read
        self._names: list[str] = []
        self._codes = {part.name: np.full(len(table), -1, np.int16) for part in parts if not part.format}

    def of(self, part: str, row: int) -> str:
        """The format of a part that the sample has; its name in the tar is read where need be.

        Raises:
            FormatError: there is no such member where the index says.
            RopewayError: the shard can't be read.
        """
        if part in self._declared:
            return self._declared[part]
        codes = self._codes[part]
        if codes[row] < 0:
            form = self._stored(part, row)
            if form not in self._names:
                self._names.append(form)
            codes[row] = self._names.index(form)
        return self._names[int(codes[row])]

    def learn(self, rows: Iterable[int]) -> None:
        """Read the formats that differ, of some samples together; raises as `of` does."""
        unknown = [
            (part, int(row)) for part, codes in self._codes.items() for row in rows
            if codes[row] < 0 and self._table.parts[part][0][row] >= 0
        ]  # fmt: skip
        if unknown:
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                list(pool.map(lambda one: self.of(*one), unknown))

    def _stored(self, part: str, row: int) -> str:
        """The format in a member's name: in the block before its content, or where that is too short, by its sample."""
        shard, offset = int(self._table.shard[row]), int(self._table.parts[part][0][row])
        name = tar.name_in_header(bytes(self._read(shard, offset - tar.BLOCK, offset)))
        start = f"{self._table.keys[row].as_py()}.{part}."
        if name is not None and name.startswith(start):
            return name.removeprefix(start)
        first = int(self._table.offset[row])
        span = self._read(shard, first, first + int(self._table.length[row]))
        return tar.part_format(memoryview(span), part)
