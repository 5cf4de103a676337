"""Rows of .h5ad matrices: the same values in whatever order they are asked for, and few reads where they follow."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from scipy import sparse

from ropeway_shardgen.formats import bounded, h5ad_rows
from ropeway_shardgen.formats.h5ad_rows import Rows

SHAPE = (50, 30)
COUNTS = np.random.default_rng(0).poisson(0.4, SHAPE).astype(np.float32)


class Counted:
    """A dataset that counts how often it is read."""

    def __init__(self, node: Any) -> None:
        self.node, self.reads = node, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.node, name)

    def __getitem__(self, place: Any) -> Any:
        self.reads += 1
        return self.node[place]


@pytest.fixture
def file(tmp_path: Path) -> Any:
    with h5py.File(tmp_path / "x.h5", "w") as made:
        made.create_dataset("dense", data=COUNTS, chunks=(7, 30), compression="gzip")
        packed = sparse.csr_matrix(COUNTS)
        for name in ("data", "indices", "indptr"):
            made[f"csr/{name}"] = getattr(packed, name)
        yield made


@pytest.mark.parametrize("form", ["dense", "csr"])
@pytest.mark.parametrize("most", [1, 300, 1 << 20])
def test_rows_are_the_same_in_any_order(form: str, most: int, file: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(h5ad_rows, "_BYTES", most)
    rows = Rows(file[form], SHAPE, file)
    shuffled = np.random.default_rng(1).permutation(50).tolist()
    for number in [*range(50), *shuffled, *range(0, 50, 2), *reversed(range(50))]:
        np.testing.assert_array_equal(rows[number], COUNTS[number], strict=True)
    for number in (-1, 50):
        with pytest.raises(ValueError, match=f"there is no row {number}: the matrix has 50"):
            rows[number]


def test_rows_that_follow_are_read_together_and_others_alone(file: Any) -> None:
    node = Counted(file["dense"])
    rows = Rows(node, SHAPE, file)
    for number in range(50):
        rows[number]
    assert node.reads == 5  # 2, 4, 8, 16 and the rest
    for number in (40, 3, 30):
        rows[number]
    assert node.reads == 5 + 2  # 40 is there


@pytest.mark.parametrize(
    ("name", "change", "problem"),
    [
        ("indices", lambda values: values - 5, "values beyond its 30 columns"),
        ("indices", lambda values: values + 5, "values beyond its 30 columns"),
        ("indptr", lambda values: values[::-1], "rows do not lie in it"),
        ("indptr", lambda values: values + 1, "rows do not lie in it"),
        ("indptr", lambda values: values[:9], "rows do not lie in it"),
        ("data", lambda values: values[:-9], "rows do not lie in it"),
    ],
)
def test_damaged_rows_are_refused(name: str, change: Any, problem: str, file: Any) -> None:
    values = change(file[f"csr/{name}"][:])
    del file[f"csr/{name}"]
    file[f"csr/{name}"] = values
    rows = Rows(file["csr"], SHAPE, file)
    with pytest.raises(ValueError, match=problem):
        list(map(rows.__getitem__, range(50)))


def test_a_column_that_is_there_twice_counts_as_the_sum(file: Any) -> None:
    for name, values in {"data": [1.0, 2.0, 4.0], "indices": [3, 3, 5], "indptr": [0, 3]}.items():
        file[f"twice/{name}"] = values
    expected = sparse.csr_matrix(tuple(file[f"twice/{name}"][:] for name in ("data", "indices", "indptr")), (1, 30))
    np.testing.assert_array_equal(Rows(file["twice"], (1, 30), file)[0], expected.toarray()[0])


def test_a_row_of_too_many_values_is_refused(file: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "LARGEST_ARRAY", 100)
    for form in ("dense", "csr"):
        with pytest.raises(ValueError, match="an array of 120 bytes"):
            Rows(file[form], SHAPE, file)[0]
