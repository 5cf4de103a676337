"""Original EEGLAB datasets: SciPy and our adapter read the same signals from what is kept, and nobody's name."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io

from adapter_reading import Array, read, values
from originals import findings, original
from ropeway_shardgen.adapters.opened import close_all

NAME = "Petra Planted"
WINDOW = {"seconds": 1.0}


def dataset(path: Path, stored: Array, *, beside: bool = False, **how: Any) -> Path:
    """A dataset with a name wherever one can be."""
    chanlocs = np.array([(label, NAME) for label in ("Fz", "Cz")], [("labels", object), ("ref", object)])
    event = np.array([(NAME, 7)], [("type", object), ("latency", object)])
    told = {
        "setname": NAME, "filename": f"{NAME}.set", "subject": NAME, "comments": f"born 1950-02-03, {NAME}",
        "history": f"EEG = pop_loadset('{NAME}.set');", "event": event, "etc": {"patient": NAME},
        "nbchan": 2, "pnts": stored.shape[1], "trials": 1, "srate": 10.0, "chanlocs": chanlocs,
        "data": f"{NAME}.fdt" if beside else stored,
    }  # fmt: skip
    scipy.io.savemat(path, {"EEG": told, "note": NAME}, **how)
    if beside:
        path.with_suffix(".fdt").write_bytes(stored.astype("<f4").tobytes(order="F"))
    return path


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16])
def test_signals_are_kept_and_no_name(tmp_path: Path, beside: bool, dtype: type[np.generic]) -> None:
    if beside and dtype is not np.float32:
        return  # a .fdt has no other
    stored = np.random.default_rng(0).normal(0, 50, (2, 50)).astype(dtype)
    path = dataset(tmp_path / "x.set", stored, beside=beside, do_compression=not beside)
    found = original("eeglab", path, WINDOW)
    assert found.format == "set"
    assert findings("set", path.read_bytes(), NAME)
    assert findings("set", found.content, NAME) == []
    assert NAME.encode() not in found.content
    assert NAME.encode("utf-16-le") not in found.content

    loaded = scipy.io.loadmat(io.BytesIO(found.content), squeeze_me=True)
    assert [name for name in loaded if not name.startswith("__")] == ["EEG"]
    inside = loaded["EEG"][()]
    np.testing.assert_array_equal(inside["data"], stored, strict=True)
    assert inside["chanlocs"]["labels"].tolist() == ["Fz", "Cz"]
    assert [float(inside[name]) for name in ("nbchan", "trials", "pnts", "srate", "xmax")] == [2, 1, 50, 10, 4.9]
    assert {inside[name].size for name in ("setname", "subject", "comments", "history", "event")} == {0}

    (tmp_path / "kept.set").write_bytes(found.content)
    again = read("eeglab", tmp_path / "kept.set", {"onset": "2"}, **WINDOW)
    np.testing.assert_array_equal(values(again), stored[:, 20:30], strict=True)
    assert (again.channels, again.sampling_rate) == (("Fz", "Cz"), 10.0)


def test_a_damaged_dataset_is_refused(tmp_path: Path) -> None:
    path = dataset(tmp_path / "x.set", np.zeros((2, 50), np.float32))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="cut short"):
        original("eeglab", path, WINDOW)
    path = dataset(tmp_path / "y.set", np.zeros((2, 50), np.float32), beside=True)
    path.with_suffix(".fdt").write_bytes(b"\0" * 399)
    with pytest.raises(ValueError, match="has 399 bytes, 400 are needed"):
        original("eeglab", path, WINDOW)


def test_numbers_that_matlab_does_not_have_are_refused(tmp_path: Path) -> None:
    path = dataset(tmp_path / "x.set", np.zeros((2, 50), np.complex128))
    with pytest.raises(ValueError, match="values of complex128, which MATLAB has no class for"):
        original("eeglab", path, WINDOW)
    close_all()
