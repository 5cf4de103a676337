"""How values of different shapes become one batch: padded to one tensor, or a nested tensor."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ropeway.errors import UsageError
from ropeway.manifest import Part
from ropeway.samples import Array, Ints


class Collate(Protocol):
    """Puts the values of one part of a batch together; None stands for a sample without the part."""

    def __call__(self, values: list[Any], part: Part) -> Any:
        """The batch's value.

        Raises:
            UsageError: these values can't be put together so.
        """
        ...


@dataclass(frozen=True, slots=True)
class Stacked:
    """One array where the values are arrays of one shape and none is absent, else the list."""

    def __call__(self, values: list[Any], part: Part) -> Any:
        alike = all(isinstance(value, np.ndarray) for value in values) and len({value.shape for value in values}) == 1
        return np.stack(values) if alike else values


@dataclass(frozen=True, slots=True)
class Padding:
    """Arrays of different shapes in one, and how large each of them is.

    Attributes:
        values: (batch, …), as large along each axis as the largest.
        sizes: int64 (batch, axes), each array's own shape; zeros where the sample lacks the part.
    """

    values: Array
    sizes: Ints


@dataclass(frozen=True, slots=True)
class Padded:
    """Pad arrays to the largest of their batch. The batch also says each one's own shape, in `__sizes__`.

    Attributes:
        value: what fills the rest.
        multiple: sizes are rounded up to a multiple of this one, so that compiled models meet few different shapes.
    """

    value: float = 0
    multiple: int = 1

    def __call__(self, values: list[Any], part: Part) -> Padding:
        present = _arrays(values, part)
        kinds = {(array.dtype.newbyteorder("="), array.ndim) for array in present}
        if len(kinds) != 1:
            found = ", ".join(sorted(f"{dtype} of {axes} dimensions" for dtype, axes in kinds))
            raise UsageError(f"part {part.name!r} can't be padded: it holds {found} in one batch")
        [(dtype, axes)] = kinds
        sizes = np.zeros((len(values), axes), np.int64)
        for place, array in enumerate(values):
            if array is not None:
                sizes[place] = array.shape
        largest = -(-np.max([array.shape for array in present], axis=0) // self.multiple) * self.multiple
        together = np.full((len(values), *largest.tolist()), self.value, dtype)
        for place, array in enumerate(values):
            if array is not None:
                together[place][tuple(slice(size) for size in array.shape)] = array
        return Padding(together, sizes)


@dataclass(frozen=True, slots=True)
class Ragged:
    """Arrays that become one nested tensor (torch.jagged): their first axis differs, the others are equal."""

    values: list[Array]


@dataclass(frozen=True, slots=True)
class Nested:
    """Arrays as one torch nested tensor, without padding. A sample without the part is an empty one."""

    def __call__(self, values: list[Any], part: Part) -> Ragged:
        present = _arrays(values, part)
        if len({(array.shape[1:], array.dtype) for array in present}) != 1 or not present[0].ndim:
            raise UsageError(
                f"part {part.name!r} can't be nested: more than the first axis differs; take ropeway.Padded()"
            )
        empty = np.empty((0, *present[0].shape[1:]), present[0].dtype)
        return Ragged([empty if array is None else array for array in values])


def _arrays(values: list[Any], part: Part) -> list[Array]:
    for value in values:
        if value is not None and not isinstance(value, np.ndarray):
            raise UsageError(f"part {part.name!r} decodes to {type(value).__name__}, only arrays are padded or nested")
    present = [value for value in values if value is not None]
    if present:
        return present
    if part.dtype is None or part.shape is None:
        raise UsageError(
            f"no sample of a batch has part {part.name!r}, and the manifest does not say what an empty one is: ask for "
            f"samples that have it with query(parts=[{part.name!r}])"
        )
    return [np.empty([size or 0 for size in part.shape], part.dtype)]
