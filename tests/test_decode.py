"""Decoders: content in, arrays and plain objects out; nothing unpickled."""

import io
import pickle

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp
from PIL import Image

from ropeway.decode import DECODERS, decode_npy, find
from ropeway.errors import UsageError


@given(hnp.arrays(hnp.scalar_dtypes(), hnp.array_shapes(min_dims=0, max_dims=4)))
def test_npy_reads_what_numpy_writes(array: hnp.NDArray) -> None:  # type: ignore[name-defined]
    for made in (array, np.asfortranarray(array)):
        file = io.BytesIO()
        np.save(file, made, allow_pickle=False)
        got = decode_npy(memoryview(file.getvalue()))
        assert got.dtype == made.dtype
        assert got.shape == made.shape
        assert got.tobytes() == np.ascontiguousarray(made).tobytes()


def test_pickles_are_refused() -> None:
    file = io.BytesIO()
    np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="never done"):
        decode_npy(memoryview(file.getvalue()))
    with pytest.raises(ValueError, match="not an npy file"):
        decode_npy(memoryview(pickle.dumps({"a": 1})))
    for form in ("pkl", "pyd", "pth", "pickle"):
        with pytest.raises(UsageError, match="no decoder for part 'x' of format"):
            find("x", form, {})


@pytest.mark.parametrize(
    ("mode", "form", "shape", "dtype"),
    [("L", "png", (4, 6), "u1"), ("RGB", "png", (4, 6, 3), "u1"), ("I;16", "png", (4, 6), "u2"),
     ("RGB", "jpg", (4, 6, 3), "u1"), ("P", "png", (4, 6, 3), "u1"), ("CMYK", "jpg", (4, 6, 3), "u1"),
     ("RGB", "webp", (4, 6, 3), "u1"), ("RGB", "tiff", (4, 6, 3), "u1")],
)  # fmt: skip
def test_images(mode: str, form: str, shape: tuple[int, ...], dtype: str) -> None:
    file = io.BytesIO()
    Image.new(mode, (6, 4)).save(file, {"jpg": "jpeg"}.get(form, form))
    array = DECODERS[form].decode(memoryview(file.getvalue()))
    assert array.shape == shape
    assert array.dtype == np.dtype(dtype)


def test_plain_objects() -> None:
    value = {"a": [1, 2.5, None, "ü"]}
    assert DECODERS["json"].decode(memoryview(b'{"a": [1, 2.5, null, "\xc3\xbc"]}')) == value
    assert DECODERS["msgpack"].decode(memoryview(msgpack.packb(value))) == value
    assert DECODERS["txt"].decode(memoryview("ü".encode())) == "ü"
    file = io.BytesIO()
    np.savez(file, a=np.arange(3), b=np.eye(2))
    assert DECODERS["npz"].decode(memoryview(file.getvalue()))["a"].tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="Expecting"):
        DECODERS["json"].decode(memoryview(b"{"))
