"""Original .h5ad files: matrices and names of genes, stored as they were; cells without names, donors or notes."""

import io
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from scipy import sparse

from adapter_reading import Array, read, values
from originals import findings, original
from ropeway_shardgen.adapters.opened import close_all
from ropeway_shardgen.formats import bounded
from shardgen_raw import real_root

NAME = "Petra Planted"
GENES = [f"GENE{number}" for number in range(30)]


def table(file: Any, name: str, index: list[str], **columns: Any) -> None:
    group = file.create_group(name)
    group.attrs["_index"] = "cell"
    group["cell"] = index
    for column, found in columns.items():
        group[column] = found


def written(path: Path, form: str = "csr") -> tuple[Path, Array]:
    """An .h5ad of 20 cells with donors' names wherever one can be."""
    counts = np.random.default_rng(0).poisson(0.4, (20, 30)).astype(np.float32)
    with h5py.File(path, "w") as file:
        table(file, "obs", [f"{NAME}_{cell}" for cell in range(20)], donor=[NAME] * 20)
        table(file, "var", GENES, note=[NAME] * 30)
        file["uns/study"] = NAME
        file["X"] = np.zeros((20, 30))
        file.attrs["author"] = NAME
        if form == "dense":
            made = file.create_dataset("layers/counts", data=counts, chunks=(5, 30), compression="gzip")
        else:
            made = file.create_group("layers/counts")
            packed = sparse.csr_matrix(counts) if form == "csr" else sparse.csc_matrix(counts)
            for name in ("data", "indices", "indptr"):
                made[name] = getattr(packed, name)
            made.attrs["shape"], made.attrs["encoding-type"] = counts.shape, f"{form}_matrix"
        made.attrs["note"] = NAME
    return path, counts


@pytest.mark.parametrize("form", ["csr", "dense"])
def test_a_layer_is_kept_and_no_donor(tmp_path: Path, form: str) -> None:
    path, counts = written(tmp_path / "x.h5ad", form)
    found = original("h5ad", path, {"matrix": "layers/counts"})
    assert NAME.encode() not in found.content
    assert findings("h5ad", found.content, NAME) == []
    places = ("obs/cell", "obs/donor", "var/note", "uns/study", "/, attribute author", "layers/counts, attribute note")
    assert {f"{place}: listed identifier" for place in places} <= {*findings("h5ad", path.read_bytes(), NAME)}
    with h5py.File(io.BytesIO(found.content)) as file:
        assert set(file) == {"layers", "obs", "var"}
        assert (set(file["obs"]), set(file["var"])) == ({"_index"}, {"_index"})
        assert file["obs/_index"][:].tolist() == [str(cell).encode() for cell in range(20)]
        layer = file["layers/counts"]
        if form == "dense":
            np.testing.assert_array_equal(layer[()], counts, strict=True)
            assert (layer.chunks, layer.compression) == ((5, 30), "gzip")
        else:
            packed = sparse.csr_matrix((layer["data"], layer["indices"], layer["indptr"]), layer.attrs["shape"])
            np.testing.assert_array_equal(packed.toarray(), counts, strict=True)
    (tmp_path / "again.h5ad").write_bytes(found.content)
    for row in (0, 19):
        again = read("h5ad", tmp_path / "again.h5ad", {"row": row}, matrix="layers/counts")
        np.testing.assert_array_equal(values(again), counts[row], strict=True)
        assert again.channels == tuple(GENES)


def test_a_real_file_keeps_its_matrices(tmp_path: Path) -> None:
    """Checked once with anndata 0.12: it reads the same X, raw and names from the original and from what is kept."""
    path = real_root() / "scanpy/datasets/10x_pbmc68k_reduced.h5ad"
    found = original("h5ad", path, {"matrix": "raw/X"}, {"matrix": "X"})
    (tmp_path / "again.h5ad").write_bytes(found.content)
    for matrix in ("raw/X", "X"):
        mine, theirs = (read("h5ad", file, {"row": 699}, matrix=matrix) for file in (tmp_path / "again.h5ad", path))
        assert (mine.content, mine.channels) == (theirs.content, theirs.channels)
    assert findings("h5ad", found.content) == []
    assert len(found.content) < path.stat().st_size


def test_nothing_is_read_of_other_files(tmp_path: Path) -> None:
    path, _ = written(tmp_path / "x.h5ad")
    written(tmp_path / "other.h5ad", "dense")
    with h5py.File(path, "r+") as file:
        file["far"] = h5py.ExternalLink(str(tmp_path / "other.h5ad"), "layers/counts")
        del file["layers/counts/data"]
        file["layers/counts/data"] = h5py.ExternalLink(str(tmp_path / "other.h5ad"), "X")
    for matrix in ("far", "layers/counts"):
        with pytest.raises(ValueError, match="a link into another file"):
            original("h5ad", path, {"matrix": matrix})
        with pytest.raises(ValueError, match="a link into another file"):
            read("h5ad", path, {"row": 0}, matrix=matrix)


def test_a_matrix_that_says_it_has_more_cells_than_it_has_is_refused(tmp_path: Path) -> None:
    path, _ = written(tmp_path / "x.h5ad")
    with h5py.File(path, "r+") as file:
        file["layers/counts"].attrs["shape"] = np.array([1 << 50, 30])
        file.create_dataset("dense", (1 << 50, 1), "i1", chunks=(1 << 20, 1))
    with pytest.raises(ValueError, match=f"says it has {1 << 50} rows, and has 20"):
        original("h5ad", path, {"matrix": "layers/counts"})
    with pytest.raises(ValueError, match="more than the 4,294,967,296 that a sample may have"):
        original("h5ad", path, {"matrix": "dense"})


def test_bad_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, _ = written(tmp_path / "x.h5ad", "csc")
    with pytest.raises(ValueError, match="stored by columns"):
        original("h5ad", path, {"matrix": "layers/counts"})
    with pytest.raises(ValueError, match="there is no 'layers/none'"):
        original("h5ad", path, {"matrix": "layers/none"})
    with pytest.raises(ValueError, match="is no dataset of numbers"):
        original("h5ad", path, {"matrix": "obs/donor"})
    close_all()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises((ValueError, OSError), match="truncated file"):
        original("h5ad", path, {"matrix": "X"})
    path.write_bytes(whole)
    monkeypatch.setattr(bounded, "LARGEST_ARRAY", 100)
    with pytest.raises(ValueError, match="more than the 100 that a sample may have"):
        original("h5ad", path, {"matrix": "X"})
