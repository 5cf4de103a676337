"""Previews: a small picture of what a sample holds, under the same rules as its bytes."""

import io
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from raw_trees import raw_trees
from ropeway.catalog import StoreCatalog
from ropeway.manifest import Part
from ropeway.stores.local import LocalStore
from ropeway_server.previews import SIDE, shown
from ropeway_shardgen.pack import pack
from ropeway_shardgen.plan import Settings
from ropeway_shardgen.recipe import load
from serving import serving
from test_model_ready import npy, video


@pytest.mark.parametrize(("name", "kind"), [("ptbxl", "signal"), ("lndb", "volume"), ("bcss", "image")])
def test_what_a_sample_looks_like(name: str, kind: str, tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    raw_trees()[name](tmp_path / "raw")
    store = LocalStore(tmp_path / "store")
    pack(load(name), tmp_path / "raw", store, Settings(on_error="skip"))
    key = StoreCatalog(store).query(datasets=[name]).table().keys[0].as_py()
    with serving(str(tmp_path / "store")) as url:
        answer = httpx.get(f"{url}/v1/samples/{name}/{key}/preview")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png"), answer.text
    picture = np.asarray(Image.open(io.BytesIO(answer.content)))
    assert picture.shape[:2] == (SIDE, SIDE)
    assert len(np.unique(picture)) > 1
    assert any(part.kind == kind for part in StoreCatalog(store).manifest(name).parts)


def test_hidden_samples_have_no_preview(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    raw_trees()["chexpert"](tmp_path / "raw")
    store = LocalStore(tmp_path / "store")
    pack(load("chexpert"), tmp_path / "raw", store)
    key = StoreCatalog(store).query().table().keys[0].as_py()
    with serving(str(tmp_path / "store")) as url:
        hidden = httpx.get(f"{url}/v1/samples/chexpert/{key}/preview")
        missing = httpx.get(f"{url}/v1/samples/chexport/{key}/preview")
    assert hidden.status_code == missing.status_code == 404
    assert hidden.text.replace("chexpert", "") == missing.text.replace("chexport", "")


def part(kind: str, axes: tuple[str, ...] = ()) -> Part:
    return Part(name="p", kind=kind, format="npy", axes=axes)  # type: ignore[arg-type]


def test_text_and_formats_that_nothing_shows() -> None:
    show = shown(part("text"), "txt")
    assert show is not None
    assert show("Kein Ödem".encode()) == ("Kein Ödem".encode(), "text/plain; charset=utf-8")
    assert shown(part("graph"), "npz") is None
    assert shown(part("table"), "npy") is None


@pytest.mark.parametrize(
    ("kind", "axes", "array"),
    [
        ("volume", ("x", "y", "z"), np.arange(60, dtype=np.int16).reshape(3, 4, 5)),
        ("volume", ("time", "slice", "height", "width"), np.ones((2, 5, 4, 6), np.float32)),
        ("dicom", ("height", "width", "channel"), np.zeros((4, 5, 3), np.uint8)),
        ("dicom", ("frame", "height", "width"), np.zeros((4, 5, 6), np.uint16)),
        ("signal", ("lead", "time"), np.full((12, 1), np.nan, np.float32)),
        ("signal", ("time", "channel"), np.zeros((400, 2), np.int16)),
        ("signal", ("lead", "time"), np.zeros((2, 0), np.int16)),
    ],
)
def test_arrays_of_all_shapes(kind: str, axes: tuple[str, ...], array: np.ndarray) -> None:
    show = shown(part(kind, axes), "npy")
    assert show is not None
    content, media = show(npy(array))
    assert media == "image/png"
    assert Image.open(io.BytesIO(content)).size == (SIDE, SIDE)


def test_the_middle_frame_of_a_video() -> None:
    show = shown(part("video"), "mp4")
    assert show is not None
    picture = np.asarray(Image.open(io.BytesIO(show(video(16))[0])))
    assert picture[SIDE // 2, SIDE // 2, 0] == pytest.approx(10 + 12 * 8, abs=6)


def test_damaged_content_is_an_error_of_its_own() -> None:
    for form, content in (("npy", b"\x93NUMPY"), ("jpg", b"\xff\xd8"), ("mp4", video(4)[:-200])):
        show = shown(part("volume"), form)
        assert show is not None
        with pytest.raises((ValueError, OSError)):
            show(content)
