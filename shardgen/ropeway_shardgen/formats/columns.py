"""Files of rows with named columns, as other training formats have them: what they share."""

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from ropeway.errors import UsageError

Array: TypeAlias = npt.NDArray[Any]
Cell: TypeAlias = bytes | str | int | float | bool | Array | dict[str, Any] | list[Any] | None
"""One value: encoded content, a word, a number, an array, or what JSON holds."""

Decode: TypeAlias = Callable[[bytes], Cell]


class Columns(Protocol):
    """An open file of rows. `names` are its columns."""

    names: tuple[str, ...]

    def __len__(self) -> int:
        """How many rows there are."""
        ...

    def cell(self, row: int, name: str) -> Cell:
        """The value of one column in one row (from 0).

        Raises:
            ValueError: there is no such column, its encoding is not taken, or the file is damaged.
        """
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


def utf8(content: bytes) -> str:
    """Words."""
    return content.decode("utf-8")


def json(content: bytes) -> Cell:
    """What JSON holds."""
    return msgspec.json.decode(content)  # type: ignore[no-any-return]


def number(dtype: str) -> Decode:
    """One number of a NumPy type, as Python has it."""

    def decode(content: bytes) -> Cell:
        return np.frombuffer(content, dtype).item()  # type: ignore[no-any-return]

    return decode


def shaped(content: bytes, dtype: str, shape: tuple[int, ...]) -> Array:
    """An array of known dtype and shape.

    Raises:
        ValueError: the content is not of that size.
    """
    return np.frombuffer(content, dtype).reshape(shape)


class Runs:
    """A file that begins with the number of its rows and where each one begins and the last one ends (little-endian 32
    bits), as shards of mosaicml-streaming and litdata do.

    Raises:
        ValueError: the file is cut short, or its places contradict each other.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._size = path.stat().st_size
        try:
            [count] = struct.unpack("<I", self._file.read(4))
            places = self._file.read(4 * (count + 1))
            self.places: list[int] = list(struct.unpack(f"<{count + 1}I", places))
        except struct.error as error:
            self._file.close()
            raise ValueError(f"{path.name} is cut short in its list of rows") from error
        if sorted(self.places) != self.places or self.places[-1] > self._size:
            self._file.close()
            raise ValueError(
                f"{path.name} has {self._size} bytes, and rows up to byte {self.places[-1]}: it is cut short"
            )

    def __len__(self) -> int:
        return len(self.places) - 1

    def run(self, row: int) -> io.BytesIO:
        """The bytes of one row."""
        if not 0 <= row < len(self):
            raise ValueError(f"there is no row {row}: the file has {len(self)}")
        self._file.seek(self.places[row])
        return io.BytesIO(self._file.read(self.places[row + 1] - self.places[row]))

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def pieces(run: io.BytesIO, sizes: list[int]) -> list[bytes]:
    """A row cut into its columns.

    Raises:
        ValueError: it has fewer bytes than that.
    """
    found = [run.read(size) for size in sizes]
    if [len(piece) for piece in found] != sizes:
        raise ValueError("a row is shorter than its columns")
    return found


def sizes(run: io.BytesIO, count: int) -> list[int]:
    """So many 32-bit sizes.

    Raises:
        ValueError: the row ends before.
    """
    content = run.read(4 * count)
    if len(content) != 4 * count:
        raise ValueError("a row is shorter than the list of its columns' sizes")
    return list(struct.unpack(f"<{count}I", content))


def beside(path: Path, name: str) -> Any:
    """The JSON file that describes this one.

    Raises:
        UsageError: it is not there.
        ValueError: it is not JSON.
    """
    description = path.with_name(name)
    if not description.exists():
        raise UsageError(f"there is no {name} beside {path.name}: it says what the columns are")
    try:
        return msgspec.json.decode(description.read_bytes())
    except msgspec.DecodeError as error:
        raise ValueError(f"{name} is not JSON") from error
