"""MATLAB files of version 4: one matrix after the other.

Format: MAT-File Format, The MathWorks, https://www.mathworks.com/help/pdf_doc/matlab/matfile_format.pdf, chapter 2.
"""

import struct
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]

_NUMBERS = ("f8", "f4", "i4", "i2", "u2", "u1")
"""How numbers are stored, by the tens of the type."""


class Level4:
    """The content of a file.

    Attributes:
        spans: of each matrix in the file, start and stop (bytes).

    Raises:
        ValueError: it is no such file, or damaged.
    """

    def __init__(self, content: memoryview) -> None:
        self._variables: dict[str, Array | str] = {}
        self.spans: dict[str, tuple[int, int]] = {}
        at = 0
        while at < len(content):
            first = at
            name, values, at = _matrix(content, first)
            self._variables.setdefault(name, values)
            self.spans.setdefault(name, (first, at))

    @property
    def names(self) -> tuple[str, ...]:
        """Of all variables."""
        return tuple(self._variables)

    def read(self, name: str) -> Array | str:
        """A matrix [row, column]; text if it has one row of it."""
        return self._variables[name]


def blanked(content: memoryview, wanted: Mapping[str, object]) -> bytes:
    """The file with the wanted matrices of numbers only, as they are stored.

    Raises:
        ValueError: it is damaged, or a matrix is not there, is text, or is to have fields.
    """
    file = Level4(content)
    for name, fields in wanted.items():
        if fields or not isinstance(file.read(name) if name in file.names else None, np.ndarray):
            raise ValueError(f"there is no matrix of numbers {name!r}: it cannot be kept")
    return b"".join(content[slice(*file.spans[name])] for name in wanted)


def _matrix(content: memoryview, at: int) -> tuple[str, Array | str, int]:
    """Name and values of the matrix that begins there, and where the next one does."""
    if len(content) - at < 20:
        raise ValueError("not a MATLAB file of version 4, or cut short")
    little = struct.unpack_from("<i", content, at)[0] in range(100)
    order = "<" if little else ">"
    kind, rows, columns, imaginary, length = struct.unpack_from(f"{order}5i", content, at)
    kind -= 0 if little else 1000
    if kind not in range(52) or kind % 10 > 1 or rows < 0 or columns < 0 or imaginary or length < 1:
        raise ValueError(f"not a MATLAB file of version 4, or a matrix of a type that is not read ({kind})")
    dtype = np.dtype(order + _NUMBERS[kind // 10])
    first = at + 20 + length
    stop = first + rows * columns * dtype.itemsize
    if stop > len(content):
        raise ValueError(f"cut short: {len(content)} bytes, {stop} are needed")
    values = np.frombuffer(content[first:stop], dtype).reshape((rows, columns), order="F")
    name = bytes(content[at + 20 : first]).rstrip(b"\0").decode("latin1")
    if kind % 10:  # text: a matrix of character codes
        return name, bytes(values.astype(np.uint8).tobytes()).decode("latin1"), stop
    return name, values.astype(dtype.newbyteorder("=")), stop
