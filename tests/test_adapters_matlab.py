"""MATLAB files: values compared with what SciPy or h5py wrote and read, and damaged files refused."""

import random
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from adapter_reading import Array, Fields, read, rows, values
from raw_signals import leads, matlab_4
from ropeway_shardgen.adapters.opened import close_all
from ropeway_shardgen.formats.mat_file import MatFile
from ropeway_shardgen.formats.mat_level4 import Level4
from ropeway_shardgen.formats.mat_level5 import Cells, Level5, Structs

SHIPPED = Path(scipy.io.matlab.__file__).parent / "tests/data"
"""Files of several versions of MATLAB, on several machines, that SciPy's wheel has."""


def new_mat(path: Path, **variables: Array) -> Path:
    """A MATLAB file of version 7.3, by h5py."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in variables.items():
            if array.dtype.hasobject:
                cells = [file.create_dataset(f"#refs#/{name}{n}", data=cell.T) for n, cell in enumerate(array)]
                file[name] = np.array([cell.ref for cell in cells], h5py.ref_dtype)
            else:
                file[name] = array.T
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    return path


def cells(*values: Any) -> Array:
    made = np.empty(len(values), object)
    made[:] = values
    return made


@pytest.mark.parametrize("version", ["4", "5", "7.3"])
def test_mat_of_every_version(tmp_path: Path, version: str) -> None:
    stored = leads(0, number=3)
    path = tmp_path / "x.mat"
    if version == "4":
        path.write_bytes(matlab_4("data", stored))
    elif version == "5":
        scipy.io.savemat(path, {"data": stored, "y": [1.0, 2.5]})
    else:
        new_mat(path, data=stored, y=np.array([[1.0, 2.5]]))
    payload = read("mat", path, variable="data", axes=["channel", "time"], channels=["a", "b", "c"], units="uV")
    np.testing.assert_array_equal(values(payload), stored, strict=True)
    assert (payload.channels, payload.units) == (("a", "b", "c"), "uV")
    assert rows("mat", path, variable="data") == [{"entry": 0}]
    np.testing.assert_array_equal(
        values(read("mat", path, {"entry": 7}, variable="data", along=1)), stored[:, 7], strict=True
    )


@pytest.mark.parametrize("new", [True, False])
def test_mat_cells_are_samples(tmp_path: Path, new: bool) -> None:
    one, two = leads(1, number=2), leads(2, 7)
    path = tmp_path / "x.mat"
    if new:
        new_mat(path, X=cells(one, two), y=np.array([[-1.0, 1.0]]))
    else:
        scipy.io.savemat(path, {"X": cells(one, two), "y": [-1.0, 1.0], "who": cells(np.array("a"), np.array("b"))})
    options: Fields = {"variable": "X", "cells": True, "fields": {"y": "y"}}
    listed = rows("mat", path, **options)
    assert listed == [{"entry": 0, "y": "-1"}, {"entry": 1, "y": "1"}]
    np.testing.assert_array_equal(values(read("mat", path, listed[1], **options)), two, strict=True)
    if not new:
        assert [row["who"] for row in rows("mat", path, **options | {"fields": {"who": "who"}})] == ["a", "b"]


def test_mat_field_of_a_struct(tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "x.mat", {"ECG": {"data": leads(0), "sex": "Male"}})
    np.testing.assert_array_equal(values(read("mat", tmp_path / "x.mat", variable="ECG.data")), leads(0), strict=True)
    with pytest.raises(ValueError, match="no field 'age' of one struct; there is: data, sex"):
        read("mat", tmp_path / "x.mat", variable="ECG.age")


def test_bad_mat(tmp_path: Path) -> None:
    path = tmp_path / "x.mat"
    scipy.io.savemat(path, {"data": leads(0), "word": "Male"}, do_compression=True)
    for options, problem in (
        ({"variable": "val"}, "no variable 'val'; there is: data, word"),
        ({"variable": "word"}, "no array of numbers"),
        ({"variable": "data", "cells": True}, "no cell array"),
        ({"variable": "data", "along": 2}, "has 2 axes, none of number 2"),
        ({"variable": "data", "fields": {"y": "data"}}, "480 values for 1 samples"),
    ):
        with pytest.raises(ValueError, match=problem):
            list(map(str, [*rows("mat", path, **options), read("mat", path, {"entry": 0}, **options)]))
    with pytest.raises(ValueError, match="the recipe names 1"):
        read("mat", path, variable="data", axes=["time"])
    with pytest.raises(ValueError, match="12 channels, the recipe names 2"):
        read("mat", path, variable="data", channels=["a", "b"])
    close_all()
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match=r"\w"):
        read("mat", path, variable="data")


def test_mat_that_says_more_than_it_can_hold(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.mat", "w", userblock_size=512) as file:
        file.create_dataset("data", (1 << 20, 1 << 20), "f8", chunks=(64, 64))
    with (tmp_path / "x.mat").open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file")
    with pytest.raises(ValueError, match="more than a file of this size can hold"):
        read("mat", tmp_path / "x.mat", variable="data")


# Versions 4 and 5 against SciPy


def same(mine: Any, theirs: Any) -> bool:
    """Whether a value is what SciPy reads (`mat_dtype=True`: the types that MATLAB shows)."""
    if isinstance(mine, str):
        return mine == "".join(theirs.ravel().tolist())
    others = theirs.ravel(order="F") if not isinstance(mine, np.ndarray) else ()
    if isinstance(mine, Cells):
        return all(same(*pair) for pair in zip(mine.values, others, strict=True))
    if isinstance(mine, Structs):
        pairs = zip(mine.values, others, strict=True)
        return all(same(fields[name], other[name]) for fields, other in pairs for name in theirs.dtype.names)
    return mine.dtype in (theirs.dtype.newbyteorder("="), bool) and np.array_equal(mine, theirs)


@pytest.mark.skipif(not SHIPPED.is_dir(), reason="SciPy without its tests")
@pytest.mark.parametrize(
    "name",
    [
        "test3dmatrix_6.1_SOL2", "test3dmatrix_7.4_GLNX86", "testbool_8_WIN64", "testcell_6.1_SOL2",
        "testcellnest_7.1_GLNX86", "testemptycell_5.3_SOL2", "testmatrix_4.2c_SOL2", "testminus_6.5.1_GLNX86",
        "testmulti_7.4_GLNX86", "testonechar_4.2c_SOL2", "teststring_6.1_SOL2", "teststructarr_7.4_GLNX86",
        "teststructnest_6.1_SOL2", "testunicode_7.4_GLNX86", "testvec_4_GLNX86", "miutf8_array_name",
    ],
)  # fmt: skip
def test_shipped_files(name: str) -> None:
    path = SHIPPED / f"{name}.mat"
    content = memoryview(path.read_bytes())
    file = Level5(content) if bytes(content[:6]) == b"MATLAB" else Level4(content)
    theirs = scipy.io.loadmat(path, mat_dtype=True)
    for variable in file.names:
        assert same(file.read(variable), theirs[variable]), variable


NUMBERS = arrays.arrays(
    st.sampled_from(["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"]),
    arrays.array_shapes(min_dims=2, max_dims=3, min_side=0, max_side=3),
    elements={"allow_nan": False},
)
NESTED: st.SearchStrategy[Any] = st.recursive(
    NUMBERS | st.text("aä€ ", min_size=1, max_size=5),
    lambda inner: (
        st.dictionaries(st.sampled_from(["a", "b", "long_name"]), inner, min_size=1)
        | st.lists(inner, min_size=1, max_size=3).map(lambda found: cells(*found))
    ),
    max_leaves=5,
)


@given(NESTED, st.booleans())
def test_whatever_scipy_writes(tmp_path_factory: pytest.TempPathFactory, value: Any, compressed: bool) -> None:
    path = tmp_path_factory.mktemp("mat") / "x.mat"
    scipy.io.savemat(path, {"x": value, "last": 1.0}, do_compression=compressed)
    file = Level5(memoryview(path.read_bytes()))
    assert file.names == ("x", "last")
    assert same(file.read("x"), scipy.io.loadmat(path, mat_dtype=True)["x"])


@pytest.mark.parametrize("compressed", [True, False])
def test_damaged_files_are_value_errors(tmp_path: Path, compressed: bool) -> None:
    scipy.io.savemat(
        tmp_path / "x.mat", {"a": {"b": cells(leads(0, 4, 2), "word")}, "c": 1.5 + 2j}, do_compression=compressed
    )
    content, chance = (tmp_path / "x.mat").read_bytes(), random.Random(0)
    for _ in range(300):
        changed = bytearray(content[: chance.choice([len(content), chance.randrange(len(content))])])
        for _ in range(3):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        (tmp_path / "y.mat").write_bytes(changed)
        try:
            with MatFile(tmp_path / "y.mat") as file:
                file.array("a.b", 0)
                file.array("c")
        except ValueError:
            pass


def test_nothing_is_allocated_that_the_file_does_not_hold(tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "x.mat", {"a": cells(np.zeros(1), np.zeros(1))})
    content = (tmp_path / "x.mat").read_bytes()
    shape = content.index(b"\x01\0\0\0\x02\0\0\0")
    (tmp_path / "x.mat").write_bytes(content[:shape] + b"\xff\xff\xff\x7f" * 2 + content[shape + 8 :])
    with MatFile(tmp_path / "x.mat") as file, pytest.raises(ValueError, match=r"\d+ arrays in \d+ bytes"):
        file.cells("a")
    (tmp_path / "y.mat").write_bytes(matlab_4("a", leads(0))[:-1])
    with pytest.raises(ValueError, match="cut short: 981 bytes, 982 are needed"):
        MatFile(tmp_path / "y.mat")
