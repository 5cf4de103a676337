"""Recipes of every format that keeps originals, packed with them: sound, without identity, and streamed."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import tifffile

import contents
import ropeway
from originals import described
from raw_signals import leads
from raw_trees import raw_trees
from ropeway.catalog import StoreCatalog
from ropeway.content import RAW
from ropeway.decode import DECODERS
from ropeway.privacy import lint
from ropeway.privacy_rules import Identifiers
from ropeway.stores import open_store
from ropeway.verify import verify
from ropeway_shardgen.keep_raw import with_originals
from ropeway_shardgen.pack import pack
from ropeway_shardgen.plan import Settings
from ropeway_shardgen.recipe import load, loads
from shardgen_raw import real_root

TREES = raw_trees()
SECRET = b"a secret of sixteen bytes"
FORMATS = {
    "cpsc2018": {"ecg_raw": "wfdb"},
    "lndb": {"ct_raw": "mha", "mask_1_raw": "mha", "mask_2_raw": "mha"},
    "rsna-pe-windows": {"ct_raw": "zip"},
    "drive": {"image_raw": "tif"},
    "auditory-oddball": {"eeg_raw": "set"},
    "bci-iv-2a": {"eeg_raw": "mat"},
    "iiic": {"eeg_raw": "mat"},
    "pbmc68k": {"expression_raw": "h5ad"},
}


def streamed(view: Any, **options: Any) -> dict[str, Any]:
    """The first batch of a view."""
    loader = ropeway.NumpyLoader(view, batch_size=6, seed=0, order=ropeway.Sequential(), tail="pad", **options)
    batch: dict[str, Any] = next(iter(loader))
    return batch


TWO_PARTS = described(
    "{stem}",
    """
[source]
files = ["*.mat"]
[parts.eeg]
kind = "signal"
adapter = "mat"
options = { variable = "eeg" }
[parts.eog]
kind = "signal"
adapter = "mat"
options = { variable = "eog" }
""",
)
SLIDE = described(
    "{stem}/{x}-{y}",
    """
[source]
files = ["*.tif"]
adapter = "tiff"
options = { side = 32 }
[parts.image]
kind = "image"
adapter = "tiff"
options = { side = 32 }
""",
)


def test_a_file_that_two_parts_are_read_from_is_kept_once_with_both(tmp_path: Path) -> None:
    root, store = tmp_path / "raw", open_store(tmp_path / "store")
    root.mkdir()
    scipy.io.savemat(root / "a.mat", {"eeg": leads(0), "eog": leads(1), "who": "John Doe"})
    manifest = pack(with_originals(loads(TWO_PARTS, "kept")), root, store).manifest
    assert [part.name for part in manifest.parts] == ["eeg", "eeg_raw", "eog"]
    batch = streamed(StoreCatalog(store).query(datasets=["kept"]))
    loaded = scipy.io.loadmat(io.BytesIO(batch["eeg_raw"][0]))
    assert {name for name in loaded if not name.startswith("__")} == {"eeg", "eog"}
    np.testing.assert_array_equal(loaded["eog"], leads(1))


def test_a_slide_is_kept_once_and_no_picture_to_decode(tmp_path: Path) -> None:
    root, store = tmp_path / "raw", open_store(tmp_path / "store")
    root.mkdir()
    tifffile.imwrite(root / "a.tif", contents.smooth(64, 96), tile=(32, 32), compression="jpeg", description="John Doe")
    manifest = pack(with_originals(loads(SLIDE, "kept")), root, store).manifest
    kept = [(part.name, part.format, part.samples) for part in manifest.parts]
    assert kept == [("image", "npy", 6), ("image_raw", "slide.tif", 1)]
    assert not verify(store, manifest).problems
    assert not lint(store, manifest, Identifiers(["John Doe"])).counts
    view = StoreCatalog(store).query(datasets=["kept"])
    slides = [one for one in streamed(view)["image_raw"] if one is not None]
    assert tifffile.imread(io.BytesIO(slides[0])).shape == (64, 96, 3)


@pytest.mark.parametrize("name", FORMATS)
def test_originals_are_packed_and_streamed(name: str, tmp_path: Path) -> None:
    root, store = tmp_path / "raw", open_store(tmp_path / "store")
    if name == "pbmc68k":
        root = real_root()
    else:
        root.mkdir()
        TREES[name](root)
    recipe = with_originals(load(name), SECRET)
    settings = Settings(secret=SECRET, limit=4, on_error="skip")
    manifest = pack(recipe, root, store, settings).manifest
    formats = {part.name: part.format for part in manifest.parts if part.name.endswith(RAW) and part.samples}
    assert formats == FORMATS[name]
    assert not verify(store, manifest).problems
    report = lint(store, manifest, Identifiers(["John Doe", "Doe"]))
    assert [str(finding) for finding in report.findings if RAW in finding.where] == []
    view = StoreCatalog(store).query(datasets=[name])
    everything = streamed(view)
    for part, form in formats.items():
        if form not in DECODERS:
            assert {type(one) for one in everything[part] if one is not None} == {bytes}
