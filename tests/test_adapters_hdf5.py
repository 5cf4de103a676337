"""HDF5 files: values compared with what h5py wrote, and files refused that are damaged or reach into others."""

import random
from pathlib import Path

import h5py
import numpy as np
import pytest

from adapter_reading import read, read_all, rows, values
from raw_signals import leads
from ropeway.catalog import StoreCatalog
from ropeway.stores.local import LocalStore
from ropeway.verify import verify
from ropeway_shardgen.adapters.opened import close_all
from ropeway_shardgen.pack import pack
from ropeway_shardgen.recipe import loads

ECG = np.stack([leads(seed, 40, 3) for seed in range(5)])
RECIPE = """
id = "stacked"
key = "{entry:03}"
[card]
title = "Stacked"
domain = "ECG"
modalities = ["signal"]
licence = "CC0-1.0"
access = "open"
unit = "recording"
[raw]
get = "made"
folder = "all.h5"
[subject]
id = "{patient}"
[split]
rule = "subject-hash"
fractions = { train = 1.0 }
[source]
files = ["all.h5"]
adapter = "hdf5"
options = { dataset = "signals/ecg", rows = true, fields = { patient = "patient", rhythm = "labels/rhythm" } }
[parts.ecg]
kind = "signal"
adapter = "hdf5"
options = { dataset = "signals/ecg", rows = true, axes = ["lead", "time"], channels = ["I", "II", "V1"] }
[tasks.rhythm]
type = "binary"
from = "rhythm"
classes = ["sinus", "afib"]
"""


@pytest.fixture
def stacked(tmp_path: Path) -> Path:
    """Five recordings in one dataset, compressed and big-endian, beside their labels."""
    path = tmp_path / "all.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("signals/ecg", data=ECG.astype(">i2"), chunks=(2, 3, 40), compression="gzip")
        file["labels/rhythm"] = ["sinus", "afib", "sinus", "sinus", "afib"]
        file["patient"] = np.array([b"p1", b"p1", b"p2", b"p3", b"p3"])
        file["rate"] = np.array([500.0, 257.5, 500, 500, 500])
        file["mean"] = 0.25
    return path


def test_a_dataset_or_its_entries_are_samples(stacked: Path) -> None:
    whole = read("hdf5", stacked, dataset="signals/ecg")
    np.testing.assert_array_equal(values(whole), ECG.astype("<i2"), strict=True)
    assert rows("hdf5", stacked, dataset="signals/ecg") == [{"entry": 0}]
    fields = {"rhythm": "labels/rhythm", "rate": "rate", "patient": "patient"}
    listed = rows("hdf5", stacked, dataset="signals/ecg", rows=True, fields=fields)
    assert listed[1] == {"entry": 1, "rhythm": "afib", "rate": "257.5", "patient": "p1"}
    entry = read("hdf5", stacked, listed[4], dataset="signals/ecg", rows=True, axes=["lead", "time"], units="uV")
    np.testing.assert_array_equal(values(entry), ECG[4].astype("<i2"), strict=True)
    assert (entry.axes, entry.units) == (("lead", "time"), "uV")
    assert values(read("hdf5", stacked, dataset="mean")) == 0.25


def test_a_recipe_packs_it(stacked: Path, tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    manifest = pack(loads(RECIPE, "stacked.toml"), stacked.parent, store).manifest
    assert not verify(store, manifest).problems
    view = StoreCatalog(store).query(task="rhythm")
    assert (view.samples, view.label_counts("rhythm")) == (5, {"sinus": 3, "afib": 2})
    assert sum(split.subjects for split in manifest.splits) == 3


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"dataset": "ecg"}, "no dataset 'ecg'; there is: labels/rhythm, mean, patient, rate, signals/ecg"),
        ({"dataset": "signals"}, "no dataset 'signals'"),
        ({"dataset": "labels/rhythm"}, "no array of numbers"),
        ({"dataset": "mean", "rows": True}, "one value, which has no entries"),
        ({"dataset": "signals/ecg", "axes": ["time"]}, "3 axes, the recipe names 1"),
        ({"dataset": "signals/ecg", "rows": True, "channels": ["I"]}, r"shape \(3, 40\), the recipe names 1 channels"),
        ({"dataset": "signals/ecg", "rows": True, "fields": {"x": "mean"}}, "1 values for 5 samples"),
    ],
)
def test_recipes_that_do_not_fit(stacked: Path, options: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        read_all("hdf5", stacked, **options)


def test_nothing_of_another_file_is_read(stacked: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.raw").write_bytes(bytes(8))
    with h5py.File(tmp_path / "links.h5", "w") as file:
        file["linked"] = h5py.ExternalLink(str(stacked), "rate")
        file["gone"] = h5py.ExternalLink("/no/such.h5", "rate")
        file.create_dataset("outside", (8,), "u1", external=[(str(tmp_path / "secret.raw"), 0, 8)])
        layout = h5py.VirtualLayout((5,), "f8")
        layout[:] = h5py.VirtualSource(str(stacked), "rate", (5,))
        file.create_virtual_dataset("virtual", layout)
    for name in ("linked", "outside", "virtual"):
        with pytest.raises(ValueError, match="a link into another file"):
            read("hdf5", tmp_path / "links.h5", dataset=name)
    with pytest.raises(ValueError, match="no dataset 'gone'"):
        read("hdf5", tmp_path / "links.h5", dataset="gone")


def test_sizes_that_a_file_cannot_hold(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("data", (1 << 40, 4), "f8", chunks=(64, 4))
        file["objects"] = np.zeros(3, [("a", "i4"), ("b", "f4")])
        file.create_dataset("empty", data=h5py.Empty("f4"))
    with pytest.raises(ValueError, match="more than a file of this size can hold"):
        rows("hdf5", tmp_path / "x.h5", dataset="data", rows=True)
    for name in ("objects", "empty"):
        with pytest.raises(ValueError, match=f"dataset '{name}' is no array of numbers or words"):
            read("hdf5", tmp_path / "x.h5", dataset=name)


def test_damaged_files_are_value_errors(stacked: Path, tmp_path: Path) -> None:
    content, dice, refused = stacked.read_bytes(), random.Random(0), 0
    fields = {"rhythm": "labels/rhythm", "patient": "patient"}
    for number in range(150):
        spoiled = bytearray(content[: dice.randrange(len(content))] if number % 5 == 0 else content)
        for _ in range(4):
            spoiled[dice.randrange(len(spoiled))] = dice.randrange(256)
        path = tmp_path / f"{number}.h5"
        path.write_bytes(spoiled)
        try:
            read_all("hdf5", path, dataset="signals/ecg", rows=True, fields=fields)
        except (ValueError, OSError):
            refused += 1
        close_all()
    assert refused > 30
