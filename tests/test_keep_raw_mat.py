"""Original MATLAB files: the numbers that parts are made of, read by SciPy or h5py, and nothing else of the file."""

import io
import struct
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io

from adapter_reading import Array, Fields, read, rows, values
from originals import findings, original
from raw_signals import leads, matlab_4
from ropeway_shardgen.formats import bounded

NAME = "Petra Planted"


def cells(*values: Any) -> Array:
    made = np.empty(len(values), object)
    made[:] = values
    return made


def old_mat(path: Path, compressed: bool, **variables: Any) -> Path:
    scipy.io.savemat(path, {"name": NAME, **variables, "who": cells(NAME)}, do_compression=compressed)
    content = bytearray(path.read_bytes())
    content[:116] = f"MATLAB 5.0 MAT-file, of {NAME}, Mon Feb 10 2020".encode().ljust(116)
    path.write_bytes(content)
    return path


def new_mat(path: Path, **variables: Any) -> Path:
    """Version 7.3, by h5py: structs are dicts, cell arrays lists, as MATLAB stores them."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in {"name": NAME, **variables}.items():
            add(file, file, name, value)
        file.attrs["author"] = NAME
    with path.open("r+b") as raw:
        raw.write(f"MATLAB 7.3 MAT-file of {NAME}".encode().ljust(124) + b"\x00\x02IM")
    return path


def add(file: Any, group: Any, name: str, value: Any) -> Any:
    made: Any
    if isinstance(value, dict):
        made = group.create_group(name)
        for field, inner in value.items():
            add(file, made, field, inner)
    elif isinstance(value, list):
        inside = [add(file, file, f"#refs#/{name}{number}", one) for number, one in enumerate(value)]
        made = group.create_dataset(name, data=np.array([[one.ref for one in inside]], h5py.ref_dtype))
        made.attrs["MATLAB_class"] = np.bytes_("cell")
    elif isinstance(value, str):
        made = group.create_dataset(name, data=np.array([list(map(ord, value))], np.uint16))
        made.attrs["MATLAB_class"] = np.bytes_("char")
    else:
        made = group.create_dataset(name, data=value.T, chunks=True, compression="gzip", shuffle=True)
        made.attrs["MATLAB_class"] = np.bytes_({"float64": "double"}.get(value.dtype.name, value.dtype.name))
    return made


@pytest.mark.parametrize("compressed", [True, False])
def test_version_5_keeps_the_variables_that_are_read(tmp_path: Path, compressed: bool) -> None:
    a, b = leads(0, 200), leads(1, 9).astype(np.float64) / 3
    path = old_mat(tmp_path / "x.mat", compressed, a=a, b=b, c=1 + 2j * b, flags=b > 0)
    found = original("mat", path, {"variable": "a"}, {"variable": "c"}, {"variable": "flags"})
    assert found.content[:116] == b"MATLAB 5.0 MAT-file".ljust(116)
    loaded = scipy.io.loadmat(io.BytesIO(found.content))
    assert {name for name in loaded if not name.startswith("__")} == {"a", "c", "flags"}
    for name, value in (("a", a), ("c", 1 + 2j * b), ("flags", b > 0)):
        np.testing.assert_array_equal(loaded[name], value)
    assert findings("mat", found.content, NAME) == []
    assert findings("mat", path.read_bytes(), NAME).count("variable: listed identifier") == 2
    (tmp_path / "again.mat").write_bytes(found.content)
    assert read("mat", tmp_path / "again.mat", variable="a").content == read("mat", path, variable="a").content


@pytest.mark.parametrize("compressed", [True, False])
def test_structs_keep_the_fields_that_are_read(tmp_path: Path, compressed: bool) -> None:
    record = {"data": leads(0), "name": NAME, "inner": {"x": leads(1, 3), "y": NAME}}
    path = old_mat(tmp_path / "x.mat", compressed, record=record)
    found = original("mat", path, {"variable": "record.data"}, {"variable": "record.inner.x"})
    loaded = scipy.io.loadmat(io.BytesIO(found.content))["record"][0, 0]
    assert (loaded.dtype.names, loaded["inner"][0, 0].dtype.names) == (("data", "inner"), ("x",))
    np.testing.assert_array_equal(loaded["data"], leads(0))
    np.testing.assert_array_equal(loaded["inner"][0, 0]["x"], leads(1, 3))
    assert findings("mat", found.content, NAME) == []


RUNS: Fields = {
    "runs": "data", "signal": "X", "starts": "trial", "fields": {"class": "y"}, "length": 5, "sampling_rate": 250.0,
}  # fmt: skip


def runs(number: int) -> list[dict[str, Any]]:
    return [
        {"X": leads(run, 40, 3).T.astype(float), "trial": np.array([[1.0, 9.0]]), "y": np.array([[1.0, 2.0]]),
         "name": NAME}
        for run in range(number)
    ]  # fmt: skip


@pytest.mark.parametrize("new", [True, False])
def test_of_runs_the_signals_and_where_trials_start_are_kept(tmp_path: Path, new: bool) -> None:
    """Not what each trial is of: that is in the index."""
    path = tmp_path / "x.mat"
    _ = new_mat(path, data=runs(2)) if new else old_mat(path, True, data=cells(*runs(2)))
    found = original("mat-trials", path, RUNS)
    assert NAME.encode() not in found.content
    assert findings("mat", found.content, NAME) == []
    (tmp_path / "again.mat").write_bytes(found.content)
    without = {**RUNS, "fields": {}}
    assert rows("mat-trials", tmp_path / "again.mat", **without) == rows("mat-trials", path, **without)
    for row in rows("mat-trials", path, **without):
        np.testing.assert_array_equal(
            values(read("mat-trials", tmp_path / "again.mat", row, **without)),
            values(read("mat-trials", path, row, **RUNS)),
        )
    if not new:
        first = scipy.io.loadmat(io.BytesIO(found.content))["data"][0, 0][0, 0]
        assert first.dtype.names == ("X", "trial")


def test_version_7_3_keeps_how_numbers_are_stored(tmp_path: Path) -> None:
    path = new_mat(tmp_path / "x.mat", a=leads(0, 300), record={"data": leads(1), "name": NAME}, c=[leads(2), leads(3)])
    options = ({"variable": "a"}, {"variable": "record.data"}, {"variable": "c", "cells": True})
    found = original("mat", path, *options)
    assert findings("mat", found.content, NAME) == []
    assert {f"{place}: listed identifier" for place in ("header", "/, attribute author", "name", "record/name")} <= {
        *findings("mat", path.read_bytes(), NAME)
    }
    with h5py.File(io.BytesIO(found.content)) as after, h5py.File(path) as before:
        assert set(after) == {"a", "record", "c", "#refs#"}
        assert set(after["record"]) == {"data"}
        new, old = after["a"], before["a"]
        assert (new.dtype, new.chunks, new.compression, new.shuffle) == (old.dtype, old.chunks, "gzip", True)
        assert dict(new.attrs) == {"MATLAB_class": b"int16"}
    (tmp_path / "again.mat").write_bytes(found.content)
    for told in options:
        assert rows("mat", tmp_path / "again.mat", **told) == rows("mat", path, **told)
        for row in rows("mat", path, **told):
            mine, theirs = (read("mat", file, row, **told) for file in (tmp_path / "again.mat", path))
            assert mine.content == theirs.content


def test_version_4_keeps_a_matrix_as_it_is(tmp_path: Path) -> None:
    word = matlab_4("name", np.array([list(map(ord, NAME))], np.int16))
    (tmp_path / "x.mat").write_bytes(word + matlab_4("val", leads(0)) + word)
    assert original("mat", tmp_path / "x.mat", {"variable": "val"}).content == matlab_4("val", leads(0))


@pytest.mark.parametrize("version", ["4", "5", "7.3"])
def test_what_is_no_numbers_is_refused(tmp_path: Path, version: str) -> None:
    path = tmp_path / "x.mat"
    if version == "4":
        path.write_bytes(b"\x1f" + matlab_4("name", np.zeros((1, 3), np.int16))[1:] + matlab_4("a", leads(0)))
    elif version == "5":
        old_mat(path, False, a=leads(0), s={"x": leads(0)})
    else:
        new_mat(path, a=leads(0), s={"x": leads(0)})
    wrong = ["name", "nothing", "a.field", "s", "s.y", "s.x.z"] if version != "4" else ["name", "nothing", "a.field"]
    for variable in wrong:
        with pytest.raises(ValueError, match=r"there is no|cannot be kept|has no field"):
            original("mat", path, {"variable": variable})


@pytest.mark.parametrize("kind", [1, 16])
def test_words_in_place_of_numbers_of_version_5_are_refused(tmp_path: Path, kind: int) -> None:
    """One number, says its shape, and what is stored are the letters of a name."""
    path = old_mat(tmp_path / "x.mat", False, a=np.array([[7.5]]))
    content = path.read_bytes()
    number = struct.pack("<2Id", 9, 8, 7.5)
    name = struct.pack("<2I", kind, len(NAME)) + NAME.encode() + bytes(-len(NAME) % 8)
    at = content.index(number)
    size = content.rindex(b"\x0e\0\0\0", 0, at)
    longer = struct.unpack_from("<I", content, size + 4)[0] + len(name) - len(number)
    path.write_bytes(
        content[: size + 4] + struct.pack("<I", longer) + content[size + 8 : at] + name + content[at + len(number) :]
    )
    with pytest.raises(ValueError, match=f"an array of 1 numbers, of which 13 bytes of type {kind}"):
        original("mat", path, {"variable": "a"})


def test_nothing_of_version_7_3_is_kept_but_numbers_of_its_own(tmp_path: Path) -> None:
    """Words that enumerations name, bytes between wide numbers, and what lies in other files."""
    (tmp_path / "secret").write_bytes(NAME.encode())
    path = tmp_path / "x.mat"
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["a"] = leads(0)
    with h5py.File(path, "w", userblock_size=512) as file:
        file.create_dataset("words", data=np.array([1, 0, 1], "i1"), dtype=h5py.enum_dtype({NAME: 1}, basetype="i1"))
        file["wide"] = np.zeros(3, np.longdouble)
        file["text"] = np.array([NAME], object)
        file["link"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "a")
        file.create_dataset("stored", (8,), "u1", external=[(str(tmp_path / "secret"), 0, 8)])
        layout = h5py.VirtualLayout((8,), "u1")
        layout[:] = h5py.VirtualSource(path, "stored", (8,))
        file.create_virtual_dataset("virtual", layout)
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file")
    found = original("mat", path, {"variable": "words"}).content
    assert NAME.encode() not in found
    with h5py.File(io.BytesIO(found)) as file:
        np.testing.assert_array_equal(file["words"][()], np.array([1, 0, 1], "i1"), strict=True)
    for name in ("wide", "text"):
        with pytest.raises(ValueError, match="no dataset of numbers") as caught:
            original("mat", path, {"variable": name})
        assert NAME not in str(caught.value)
    for name in ("link", "stored", "virtual"):
        with pytest.raises(ValueError, match="a link into another file"):
            original("mat", path, {"variable": name})
        with pytest.raises(ValueError, match="a link into another file"):
            read("mat", path, variable=name)


@pytest.mark.parametrize("new", [True, False])
def test_files_cut_short_and_too_large_are_refused(tmp_path: Path, new: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.mat"
    whole = (new_mat(path, a=leads(0, 400)) if new else old_mat(path, False, a=leads(0, 400))).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"cut short|truncated file|OSError"):
        original("mat", path, {"variable": "a"})
    path.write_bytes(whole)
    monkeypatch.setattr(bounded, "LARGEST_ARRAY", 100)
    with pytest.raises(ValueError, match="more than the 100 that a sample may have"):
        original("mat", path, {"variable": "a"})


def test_a_cell_that_is_there_many_times_is_kept_once(tmp_path: Path) -> None:
    path = tmp_path / "x.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        cell = file.create_dataset("#refs#/a", data=leads(0, 5000))
        file["c"] = np.array([[cell.ref] * 99], h5py.ref_dtype)
        own = file.create_dataset("own", (1, 1), h5py.ref_dtype)
        own[0, 0] = own.ref
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file")
    found = original("mat", path, {"variable": "c", "cells": True})
    assert len(found.content) < 2 * leads(0, 5000).nbytes
    (tmp_path / "again.mat").write_bytes(found.content)
    cells = {"variable": "c", "cells": True}
    assert (
        read("mat", tmp_path / "again.mat", {"entry": 98}, **cells).content
        == read("mat", path, {"entry": 0}, **cells).content
    )
    with pytest.raises(ValueError, match="lies in itself"):
        original("mat", path, {"variable": "own", "cells": True})
