"""The numbers that a recipe reads of a MATLAB file, in a file of the same version that holds nothing else.

A MATLAB file can hold anything beside them (names, dates, comments), so the original is not kept as it is: only the
variables and fields that parts are made of, and of these only numbers, stored as they were. What else a recipe takes
from the file is in the index; it may be what says who it is.
"""

import io
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ropeway.decoders.libraries import damage, require
from ropeway_shardgen.adapters.adapter import Payload
from ropeway_shardgen.formats import mat_level4, mat_level5_blank
from ropeway_shardgen.formats.bounded import check_array
from ropeway_shardgen.formats.hdf5_copy import copied
from ropeway_shardgen.formats.hdf5_inside import check_inside
from ropeway_shardgen.formats.mat_file import is_mat
from ropeway_shardgen.formats.mat_level5_blank import Wanted

_USER_BLOCK = 512
_HEAD = b"MATLAB 7.3 MAT-file".ljust(116) + bytes(8) + b"\0\2IM"
_CLASSES = frozenset(b"cell struct logical single double int8 uint8 int16 uint16 int32 uint32 int64 uint64".split())
"""What MATLAB may call a variable that is kept: not text, objects or functions."""
_REFERENCES = "#refs#"
"""The group in which MATLAB keeps the cells of cell arrays."""


def kept(path: Path, names: Iterable[str]) -> Payload:
    """A file with the wanted variables only.

    Args:
        path: of the file.
        names: of variables or fields, as `MatFile` has them; `runs{2}.data` stands for `data` of every cell of `runs`.

    Raises:
        ValueError: it is damaged, or something wanted is not there or no numbers.
    """
    wanted = _tree(names)
    check_array(path.stat().st_size)
    with path.open("rb") as file:
        new = file.read(10) == b"MATLAB 7.3"
    if new:
        with damage(OSError):
            return Payload(content=_new(path, wanted), format="mat")
    content = memoryview(path.read_bytes())
    old = mat_level5_blank.blanked if is_mat(path) else mat_level4.blanked
    return Payload(content=old(content, wanted), format="mat")


def _tree(names: Iterable[str]) -> Wanted:
    found: dict[str, Any] = {}
    for name in names:
        node = found
        for step in name.split("."):
            node = node.setdefault(step.partition("{")[0], {})
    return found


def _new(path: Path, wanted: Wanted) -> bytes:
    """Version 7.3, which is HDF5 behind a block of 512 bytes."""
    h5py, file = require("h5py", "hdf5"), io.BytesIO()
    with h5py.File(path, "r") as source, h5py.File(file, "w", userblock_size=_USER_BLOCK) as target:
        copy = _Copy(source, target)
        for name, fields in wanted.items():
            if name not in source:
                raise ValueError(f"there is no variable {name!r}")
            copy.node(source[name], target, name, fields)
    return _HEAD + file.getvalue()[len(_HEAD) :]


@dataclass(slots=True)
class _Copy:
    """From one open HDF5 file into another; a cell that several references are to is copied once."""

    source: Any
    target: Any
    cells: dict[tuple[int, int], Any] = field(default_factory=dict)
    """Where a cell is in the source, and what is wanted of it → the copy."""
    size: int = 0
    """Bytes of all numbers so far."""

    def node(self, node: Any, group: Any, name: str, wanted: Wanted) -> Any:
        """A struct (a group), a cell array or a field of several structs (references), or numbers."""
        check_inside(node, self.source)
        if not hasattr(node, "dtype"):
            made = self._struct(node, group, name, wanted)
        elif require("h5py", "hdf5").check_ref_dtype(node.dtype) is require("h5py", "hdf5").Reference:
            made = self._cells(node, group, name, wanted)
        elif wanted or node.attrs.get("MATLAB_class", b"double") not in _CLASSES:
            raise ValueError(f"{name!r} is no array of numbers, or has no fields: it cannot be kept")
        else:
            self.size += node.size * node.dtype.itemsize
            check_array(self.size)
            made = copied(node, group, name)
        for attribute in ("MATLAB_int_decode", "MATLAB_empty"):
            if attribute in node.attrs:
                made.attrs[attribute] = np.int32(node.attrs[attribute].item())
        if (kind := node.attrs.get("MATLAB_class")) in _CLASSES:
            made.attrs["MATLAB_class"] = np.bytes_(kind)
        return made

    def _struct(self, node: Any, group: Any, name: str, wanted: Wanted) -> Any:
        if not wanted or any(inner not in node for inner in wanted):
            raise ValueError(f"{name!r} is a struct, of which the fields wanted are not there: it cannot be kept")
        made = group.create_group(name)
        for inner, fields in wanted.items():
            self.node(node[inner], made, inner, fields)
        return made

    def _cells(self, node: Any, group: Any, name: str, wanted: Wanted) -> Any:
        h5py = require("h5py", "hdf5")
        check_array(node.size * node.dtype.itemsize)
        made = np.empty(node.shape, h5py.ref_dtype)
        for place, reference in np.ndenumerate(np.asarray(node)):
            cell = self.source[reference]
            address = h5py.h5o.get_info(cell.id).addr
            if (address, id(wanted)) not in self.cells:
                label, inside = str(len(self.cells)), self.target.require_group(_REFERENCES)
                self.cells[address, id(wanted)] = None  # taken: cells lie in cells
                self.cells[address, id(wanted)] = self.node(cell, inside, label, wanted)
            if self.cells[address, id(wanted)] is None:
                raise ValueError(f"{name!r} has a cell that lies in itself: it cannot be kept")
            made[place] = self.cells[address, id(wanted)].ref
        return group.create_dataset(name, data=made, dtype=h5py.ref_dtype, track_times=False)
