"""Names in MetaImage, MATLAB, HDF5, TIFF and zip files are found, and no content of them breaks the search."""

import io
import zipfile
from collections.abc import Callable
from functools import cache
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io
import tifffile
from hypothesis import given
from hypothesis import strategies as st

import contents
from originals import findings
from ropeway.privacy_texts import texts

NAME = "Quirin Bönnemann"
ASCII = "Quirin Bonnemann"


def metaimage(comment: str) -> bytes:
    return f"ObjectType = Image\nComment = {comment}\nElementDataFile = LOCAL\n".encode() + bytes(64)


def matlab(compressed: bool = False, header: str = "", **variables: Any) -> bytes:
    file = io.BytesIO()
    scipy.io.savemat(file, {"x": contents.numbers(3, 40), **variables}, do_compression=compressed)
    return f"MATLAB 5.0 MAT-file{header}".encode().ljust(116) + file.getvalue()[116:]


def hdf5(**datasets: Any) -> bytes:
    file = io.BytesIO()
    with h5py.File(file, "w") as group:
        group["x"] = contents.numbers(3, 40)
        for name, value in datasets.items():
            group[name] = value
    return file.getvalue()


def pages(**second: Any) -> bytes:
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(contents.smooth(20, 30), metadata=None, software=False)
        writer.write(contents.smooth(20, 30), metadata=None, software=False, **second)
    return file.getvalue()


def unlinked() -> bytes:
    """A TIFF whose description is still there, though no tag tells of it."""
    content = pages(description=ASCII)
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        page: Any = file.pages[1]
        at = page.tags["ImageDescription"].offset
    return content[:at] + (65000).to_bytes(2, "little") + content[at + 2 :]


def archive(**files: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in files.items():
            made.writestr(name.replace("_", "."), content)
        made.comment = files.get("comment", b"")
    return file.getvalue()


HIDDEN: list[tuple[str, bytes, str]] = [
    ("mha", metaimage(NAME), "header"),
    ("mat", matlab(name=ASCII), "variable"),
    ("mat", matlab(compressed=True, name=NAME), "variable"),
    ("mat", matlab(compressed=True, s={"a": {"b": NAME}}), "variable"),
    ("mat", matlab(Quirin_Bonnemann=1.0), "variable"),
    ("mat", matlab(header=f", by {ASCII}"), "header"),
    ("h5ad", hdf5(name=NAME), "name"),
    ("h5ad", hdf5(names=[b"ok", ASCII.encode()]), "names"),
    ("h5ad", hdf5(Quirin_Bonnemann=1), "names"),
    ("h5", hdf5(obs=np.array([(1, ASCII.encode())], [("n", "i4"), ("who", "S20")])), "obs.who"),
    ("tif", pages(description=ASCII), "beside the pixels"),
    ("slide.tif", pages(extratags=[(65000, 7, len(ASCII), ASCII.encode(), True)]), "beside the pixels"),
    ("tif", unlinked(), "beside the pixels"),
    ("zip", archive(a_txt=NAME.encode()), "a.txt, text"),
    ("zip", archive(a_zip=archive(b_mha=metaimage(NAME))), "a.zip, b.mha, header"),
    ("wfdb", archive(record_hea=f"record 1 500 10\n# {NAME}".encode()), "record.hea, text"),
    ("zip", archive(Quirin_Bonnemann=b""), "names"),
    ("zip", archive(comment=ASCII.encode()), "archive comment"),
]


@pytest.mark.parametrize(("form", "content", "place"), HIDDEN, ids=[f"{n}-{h[0]}" for n, h in enumerate(HIDDEN)])
def test_names_in_arrays_and_archives_are_found(form: str, content: bytes, place: str) -> None:
    assert f"{place}: listed identifier" in findings(form, content, NAME)


@cache
def clean(form: str) -> bytes:
    made: dict[str, Callable[[], bytes]] = {
        "mha": lambda: metaimage("none"), "mat": lambda: matlab(True, s={"a": "word", "b": 1.5}), "h5ad": hdf5,
        "slide.tif": pages, "zip": lambda: archive(a_dat=bytes(40), b_txt=b"text", c_mat=matlab()),
    }  # fmt: skip
    return made[form]()


@pytest.mark.parametrize("form", ["mha", "mat", "h5ad", "slide.tif", "zip"])
def test_ordinary_files_are_clean(form: str) -> None:
    assert findings(form, clean(form), NAME) == []


@given(st.binary(max_size=100), st.sampled_from(["mha", "mat", "h5ad", "slide.tif", "zip"]), st.floats(0, 1))
def test_no_damage_breaks_the_search(content: bytes, form: str, share: float) -> None:
    whole = clean(form)
    at = int(share * len(whole))
    for damaged in (content, whole[:at] + content, whole[:at] + content + whole[at + len(content) :]):
        list(texts(form, memoryview(damaged)))


@pytest.mark.parametrize("form", ["zip", "wfdb"])
def test_archives_that_are_none_are_findings(form: str) -> None:
    assert findings(form, b"PK\3\4 cut short") == ["content: not readable"]
