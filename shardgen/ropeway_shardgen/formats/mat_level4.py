"""MATLAB files of version 4: one matrix after the other.

Format: MAT-File Format, The MathWorks, https://www.mathworks.com/help/pdf_doc/matlab/matfile_format.pdf, chapter 2.
"""

import struct
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]

_NUMBERS = ("f8", "f4", "i4", "i2", "u2", "u1")
"""How numbers are stored, by the tens of the type."""


class Level4:
    """The content of a file.

    Raises:
        ValueError: it is no such file, or damaged.
    """

    def __init__(self, content: memoryview) -> None:
        self._variables: dict[str, Array | str] = {}
        at = 0
        while at < len(content):
            name, values, at = _matrix(content, at)
            self._variables.setdefault(name, values)

    @property
    def names(self) -> tuple[str, ...]:
        """Of all variables."""
        return tuple(self._variables)

    def read(self, name: str) -> Array | str:
        """A matrix [row, column]; text if it has one row of it."""
        return self._variables[name]


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
