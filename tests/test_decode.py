"""Decoders: content in, arrays and plain objects out; nothing unpickled, nothing partial, no damage that crashes."""

import gzip
import io
import pickle
import random
import struct
from typing import Any

import av
import msgpack
import nibabel
import numpy as np
import pydicom
import pyedflib
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp
from PIL import Image

import contents
from contents import CODECS, DICOM, SMALL, WFDB, numbers, picture, smooth
from ropeway.decode import DECODERS, decode_npy, find
from ropeway.decoders.edf import decode_edf
from ropeway.decoders.libraries import require
from ropeway.decoders.video import decode_video
from ropeway.errors import UsageError

Array = np.ndarray[Any, Any]


def decode(form: str, content: bytes) -> Any:
    return DECODERS[form].decode(memoryview(content))


def same(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    return np.array_equal(one, other) if isinstance(one, np.ndarray) else bool(one == other)


# npy, plain objects


@given(hnp.arrays(hnp.scalar_dtypes(), hnp.array_shapes(min_dims=0, max_dims=4, min_side=0)))
def test_npy_reads_what_numpy_writes(array: hnp.NDArray) -> None:  # type: ignore[name-defined]
    for made in (array, np.asfortranarray(array)):
        got = decode("npy", contents.npy(made))
        assert got.dtype == made.dtype
        assert got.shape == made.shape
        assert got.tobytes() == np.ascontiguousarray(made).tobytes()


def test_pickles_are_refused() -> None:
    file = io.BytesIO()
    np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="never done"):
        decode_npy(memoryview(file.getvalue()))
    with pytest.raises(ValueError, match="never done"):
        decode("npz", contents.zipped(**{"a.npy": file.getvalue()}))
    with pytest.raises(ValueError, match="not an npy file"):
        decode_npy(memoryview(pickle.dumps({"a": 1})))
    for form in ("pkl", "pyd", "pth", "pickle"):
        with pytest.raises(UsageError, match="no decoder for part 'x' of format"):
            find("x", form, {})


@pytest.mark.parametrize("shape", ["(-1,)", "(2, -3)", "(99999999999999999999, 9)", "(4, 4, 4)"])
def test_npy_headers_that_lie(shape: str) -> None:
    head = f"{{'descr': '<i2', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    with pytest.raises(ValueError, match=r"cut short|no array"):
        decode("npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + bytes(20))


def test_plain_objects() -> None:
    value = {"a": [1, 2.5, None, "ü"]}
    assert decode("json", b'{"a": [1, 2.5, null, "\xc3\xbc"]}') == value
    assert decode("msgpack", msgpack.packb(value)) == value
    assert decode("txt", "ü".encode()) == "ü"
    assert decode("npz", SMALL["npz"]())["b"].tolist() == np.eye(9).tolist()
    for form, content in {"json": b"[" * 100_000, "msgpack": b"\x91" * 100_000, "txt": b"\xff"}.items():
        with pytest.raises(ValueError, match=r"."):
            decode(form, content)


# Damage, of every format


@pytest.mark.filterwarnings("ignore")  # libraries warn of some damage before they refuse it
@pytest.mark.parametrize("form", SMALL)
def test_cut_short(form: str) -> None:
    whole = SMALL[form]()
    value = decode(form, whole)
    assert len(whole) > 100
    for stop in (0, 1, 5, 20, 100, len(whole) // 3, len(whole) // 2, len(whole) * 9 // 10):
        with pytest.raises((ValueError, OSError)):
            decode(form, whole[:stop])
    for stop in range(len(whole) - 12, len(whole)):
        try:
            assert same(decode(form, whole[:stop]), value)  # all values are there, as in a BMP without its padding
        except (ValueError, OSError):
            continue


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", SMALL)
def test_damage_never_crashes(form: str) -> None:
    whole, chance, refused = SMALL[form](), random.Random(form), 0
    for _ in range(80):
        damaged = bytearray(whole)
        for _ in range(chance.choice([1, 3, 40])):
            at = chance.choice([chance.randrange(len(whole)), chance.randrange(min(len(whole), 600))])
            damaged[at] ^= 1 << chance.randrange(8)
        try:
            decode(form, bytes(damaged))
        except (ValueError, OSError):
            refused += 1
    assert refused


@pytest.mark.parametrize("form", sorted(set(DECODERS) - {"txt"}))
def test_what_is_no_such_file(form: str) -> None:
    for content in (b"", b"#EXTM3U\n#EXTINF:1\nfile:///etc/passwd\n", b"%!PS-Adobe-3.0 EPSF-3.0\n", bytes(4000)):
        with pytest.raises((ValueError, OSError)):
            decode(form, content)


@pytest.mark.parametrize("form", ["npy", "jpg", "png", "nii", "nii.gz", "bmp"])
def test_straight_into_a_row_of_a_batch(form: str) -> None:
    content, into = memoryview(SMALL[form]()), DECODERS[form].into
    assert into is not None
    value = decode(form, SMALL[form]())
    batch = np.zeros((3, *value.shape), value.dtype)
    into(content, batch[1])
    assert np.array_equal(batch[1], value)
    assert not batch[[0, 2]].any()
    across = np.zeros((*value.shape, 2), value.dtype)[..., 0]
    into(content, across)
    assert np.array_equal(across, value)
    for wrong in (batch[1, :-1], batch[1].astype(np.float64), batch):
        with pytest.raises(ValueError, match="is due"):
            into(content, wrong)


@pytest.mark.parametrize("form", sorted(set(SMALL) - {"npy", "json", "msgpack", "npz"}))
def test_no_value_is_a_view_of_its_content(form: str) -> None:
    content = bytearray(SMALL[form]())
    value = decode(form, content)  # type: ignore[arg-type]
    before = value.copy()
    content[:] = bytes(len(content))
    assert np.array_equal(value, before)
    assert value.flags.writeable


# Pictures


@pytest.mark.parametrize(
    ("mode", "form", "shape", "dtype"),
    [("L", "png", (4, 6), "u1"), ("RGB", "png", (4, 6, 3), "u1"), ("I;16", "png", (4, 6), "u2"),
     ("LA", "png", (4, 6, 2), "u1"), ("RGBA", "png", (4, 6, 4), "u1"), ("1", "png", (4, 6), "?"),
     ("RGB", "jpg", (4, 6, 3), "u1"), ("P", "png", (4, 6, 3), "u1"), ("CMYK", "jpg", (4, 6, 3), "u1"),
     ("L", "jpg", (4, 6), "u1"), ("RGB", "webp", (4, 6, 3), "u1"), ("RGBA", "webp", (4, 6, 4), "u1"),
     ("RGB", "tiff", (4, 6, 3), "u1"), ("I;16", "tiff", (4, 6), "u2"), ("I;16B", "tiff", (4, 6), "u2"),
     ("F", "tiff", (4, 6), "f4"), ("L", "bmp", (4, 6), "u1")],
)  # fmt: skip
def test_modes_of_pictures(mode: str, form: str, shape: tuple[int, ...], dtype: str) -> None:
    file = io.BytesIO()
    Image.new(mode, (6, 4)).save(file, {"jpg": "jpeg"}.get(form, form))
    array = decode(form, file.getvalue())
    assert array.shape == shape
    assert array.dtype == np.dtype(dtype)


@pytest.mark.parametrize(("form", "options"), [("png", {}), ("webp", {"lossless": True}), ("tiff", {}), ("bmp", {})])
def test_pictures_without_loss_are_what_was_saved(form: str, options: dict[str, Any]) -> None:
    array = numbers(30, 40, 3, dtype="|u1")
    assert np.array_equal(decode(form, picture(array, form, **options)), array)


@pytest.mark.parametrize("form", ["png", "tiff"])
def test_16_bits_of_grey_are_kept(form: str) -> None:
    grey = numbers(30, 40, dtype="<u2")
    assert np.array_equal(decode(form, picture(grey, form)), grey)


def test_pages_of_a_tiff_are_an_axis() -> None:
    pages = numbers(5, 30, 40, dtype="<u2")
    images = [Image.fromarray(page) for page in pages]
    file = io.BytesIO()
    images[0].save(file, "tiff", save_all=True, append_images=images[1:])
    assert np.array_equal(decode("tif", file.getvalue()), pages)
    uneven = io.BytesIO()
    images[0].save(uneven, "tiff", save_all=True, append_images=[images[1].resize((3, 3))])
    with pytest.raises(ValueError, match="same shape"):
        decode("tif", uneven.getvalue())


def test_palettes_with_transparency_keep_it() -> None:
    image = Image.fromarray(smooth(20, 20)).quantize(8)
    file = io.BytesIO()
    image.save(file, "png", transparency=3)
    assert decode("png", file.getvalue()).shape == (20, 20, 4)


def test_colours_of_16_bits_are_refused_and_not_cut_to_8() -> None:
    import zlib

    def block(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = b"".join(b"\0" + bytes(4 * 6) for _ in range(3))
    head = struct.pack(">IIBBBBB", 4, 3, 16, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + block(b"IHDR", head) + block(b"IDAT", zlib.compress(rows)) + block(b"IEND", b"")
    Image.open(io.BytesIO(png)).load()  # a sound file
    with pytest.raises(ValueError, match="colours of 16 bits"):
        decode("png", png)


@pytest.mark.parametrize("options", [
    {}, {"subsampling": 0}, {"subsampling": 1}, {"progressive": True}, {"quality": 30}, {"keep_rgb": True},
    {"restart_marker_rows": 1}, {"exif": b"Exif\0\0" + bytes(40_000)}, {"optimize": True},
])  # fmt: skip
@pytest.mark.parametrize("size", [(224, 224), (223, 301), (17, 9), (1, 1)])
@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_what_pillow_decodes(options: dict[str, Any], size: tuple[int, int], channels: int) -> None:
    if channels == 1:
        options = {name: value for name, value in options.items() if name != "keep_rgb"}
    content = picture(smooth(*size, channels), "jpeg", **options)
    got = decode("jpg", content)
    expected = np.asarray(Image.open(io.BytesIO(content)))
    assert got.shape == expected.shape
    assert np.abs(got.astype(int) - expected).max() <= 1  # equal where both have the same libjpeg-turbo


def test_a_picture_is_told_by_its_bytes() -> None:
    array = smooth(20, 30)
    assert np.array_equal(decode("jpg", picture(array, "png")), array)
    assert np.array_equal(decode("png", picture(array, "bmp")), array)


def test_jpegs_of_12_bits_are_refused() -> None:
    content = bytearray(picture(smooth(20, 30), "jpeg"))
    content[content.index(b"\xff\xc0") + 4] = 12
    with pytest.raises((ValueError, OSError)):
        decode("jpg", bytes(content))


def test_a_damaged_size_takes_no_memory() -> None:
    content = bytearray(picture(smooth(20, 30), "jpeg"))
    content[content.index(b"\xff\xc0") + 5] = content[content.index(b"\xff\xc0") + 7] = 0xFF
    with pytest.raises(ValueError, match="a JPEG of 65300 × 65310 pixels in"):
        decode("jpg", bytes(content))


# Sound, volumes, DICOM, signals, video


@pytest.mark.parametrize("dtype", ["|u1", "<i2", "<i4"])
def test_wav(dtype: str) -> None:
    values = numbers(500, 3, dtype=dtype)
    got = decode("wav", contents.wav(values))
    assert got.dtype == np.dtype(dtype)
    assert np.array_equal(got, values.T)


def test_wav_of_24_bits() -> None:
    values = numbers(500, 2, dtype="<i4") >> 8
    got = decode("wav", contents.wav(values[..., None].view(np.uint8)[..., :3]))
    assert np.array_equal(got, values.T)


@pytest.mark.parametrize("extensible", [False, True])
@pytest.mark.parametrize("dtype", ["<f4", "<f8"])
def test_wav_of_floats(dtype: str, extensible: bool) -> None:
    values = np.random.default_rng(0).normal(size=(300, 2)).astype(dtype)
    size = values.itemsize
    form = struct.pack("<HHIIHH", 0xFFFE if extensible else 3, 2, 8000, 16000 * size, 2 * size, 8 * size)
    if extensible:
        form += struct.pack("<HHIH", 22, 8 * size, 3, 3) + b"\x00\x00\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71"
    body = b"WAVE" + b"LIST\x03\0\0\0abc\0" + b"fmt " + struct.pack("<I", len(form)) + form
    body += b"data" + struct.pack("<I", values.nbytes) + values.tobytes()
    got = decode("wav", b"RIFF" + struct.pack("<I", len(body)) + body)
    assert got.dtype == np.dtype(dtype)
    assert np.array_equal(got, values.T)


def test_wav_of_other_encodings_is_refused() -> None:
    content = bytearray(contents.wav(numbers(10, 1)))
    content[content.index(b"fmt ") + 8] = 7  # mu-law
    with pytest.raises(ValueError, match="WAV encoding 7 of 16 bits"):
        decode("wav", bytes(content))


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("dtype", ["<i2", "|u1", "<f4"])
def test_nifti(dtype: str, kind: Any) -> None:
    voxels = contents.gaussian((6, 5, 4)).astype(dtype)
    image = kind(voxels, np.eye(4))
    for got in (decode("nii", image.to_bytes()), decode("nii.gz", gzip.compress(image.to_bytes()))):
        assert got.dtype == voxels.dtype.newbyteorder("=")
        assert np.array_equal(got, voxels)
    scaled = decode("nii", contents.nifti(voxels, 0.5, -1000, kind))
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled, voxels.astype(float) * 0.5 - 1000, rtol=1e-6)


def test_nifti_big_endian() -> None:
    voxels = contents.gaussian((6, 5, 4))
    got = decode("nii", contents.nifti_big_endian(voxels))
    assert got.dtype == np.int16
    assert np.array_equal(got, voxels)


def test_nifti_rgb() -> None:
    voxels = np.zeros((3, 4, 5), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    voxels["G"] = np.arange(60).reshape(3, 4, 5)
    got = decode("nii", contents.nifti(voxels))
    assert got.shape == (3, 4, 5, 3)
    assert np.array_equal(got[..., 1], voxels["G"])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name",
    ["CT_small.dcm", "MR_small_RLE.dcm", "MR_small_bigendian.dcm", "JPEG2000.dcm", "JPGExtended.dcm", "693_J2KI.dcm",
     "rtdose.dcm", "SC_rgb_jpeg_dcmtk.dcm", "SC_rgb_rle_2frame.dcm", "examples_palette.dcm"],
)  # fmt: skip
def test_dicom(name: str) -> None:
    content = (DICOM / name).read_bytes()
    expected = pydicom.dcmread(io.BytesIO(content)).pixel_array
    got = decode("dcm", content)
    if name == "examples_palette.dcm":
        assert got.shape == (*expected.shape, 3)
    else:
        assert np.array_equal(got, expected)
    with pytest.raises((ValueError, OSError)):
        decode("dcm", content[: len(content) * 3 // 4])


@pytest.mark.parametrize("kind", [pyedflib.FILETYPE_EDF, pyedflib.FILETYPE_EDFPLUS, pyedflib.FILETYPE_BDF,
                                  pyedflib.FILETYPE_BDFPLUS])  # fmt: skip
@pytest.mark.parametrize("signals", [1, 3, 40])
def test_edf(kind: int, signals: int) -> None:
    content = contents.edf(numbers(signals, 500), kind=kind)
    got = decode("edf", content)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, contents.edf_values(content), atol=1e-6)


def test_edf_of_several_sampling_rates_wants_a_choice() -> None:
    values = np.stack([numbers(400), numbers(400, seed=1)])
    content = memoryview(contents.edf(values, rates=(100, 200)))
    with pytest.raises(ValueError, match="choose some"):
        decode_edf(content)
    assert decode_edf(content, channels=("S1",)).shape[0] == 1
    with pytest.raises(ValueError, match="there is no signal 'Fp1'; there is: S0, S1"):
        decode_edf(content, channels=("Fp1",))


def test_edf_with_gaps_is_refused() -> None:
    content = contents.edf(numbers(1, 100)).replace(b"EDF+C", b"EDF+D")
    with pytest.raises(ValueError, match="with gaps"):
        decode("edf", content)


@pytest.mark.parametrize("storage", [16, 24, 32, 80, 212])
def test_wfdb(storage: int) -> None:
    got = decode("wfdb", (WFDB / f"r{storage}.wfdb").read_bytes())
    np.testing.assert_array_equal(got, np.load(WFDB / f"r{storage}.npy"), strict=True)


def test_wfdb_header_forms() -> None:
    values = numbers(50, 2, dtype="<i2", seed=3)
    head = b"# a comment\nr 2 500 50\nr.mat 16+24 1000/mV 16 7\nr.mat 16+24 1000(-3)/mV 16 7\n"
    got = decode("wfdb", contents.zipped(**{"r.hea": head, "r.mat": bytes(24) + values.tobytes()}))
    expected = (values.astype(float) - [7, -3]).T / 1000
    np.testing.assert_allclose(got, np.where(values.T == -(1 << 15), np.nan, expected), rtol=1e-6)
    swapped = head.replace(b"16+24", b"61")
    again = decode("wfdb", contents.zipped(**{"r.hea": swapped, "r.mat": values.astype(">i2").tobytes()}))
    assert np.array_equal(again, got, equal_nan=True)


@pytest.mark.parametrize(
    ("head", "problem"),
    [("r/2 1 500 50\nr1 25\nr2 25\n", "several segments"), ("r 1 500 50\nr.dat 16x4 200\n", "storage 16x4"),
     ("r 1 500 50\nr.dat 311 200\n", "storage 311"), ("r 2 500 50\nr.dat 16 200\n", "2 signals"),
     ("r 1 500 50\nr.dat 16 200 16 0 0 5\n", "checksum differs"), ("r 1 500 51\nr.dat 16 200\n", "cut short"),
     ("", "."), ("r 1 500 50\nelsewhere.dat 16 200\n", "elsewhere")],
)  # fmt: skip
def test_wfdb_records_that_are_refused(head: str, problem: str) -> None:
    content = contents.zipped(**{"r.hea": head.encode(), "r.dat": numbers(50).tobytes()})
    with pytest.raises(ValueError, match=problem):
        decode("wfdb", content)


@pytest.mark.parametrize("form", CODECS)
def test_video(form: str) -> None:
    frames = decode(form, contents.video(form))
    assert frames.shape == (60, 48, 64, 3)
    assert frames.dtype == np.uint8
    blue = frames[..., 2].mean(axis=(1, 2))
    assert np.abs(blue - 4 * np.arange(60)).max() < 8


def test_video_says_what_it_is_not() -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as writer:
        stream: Any = writer.add_stream("aac", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        sound.sample_rate = 8000
        writer.mux(stream.encode(sound))
        writer.mux(stream.encode())
    with pytest.raises(ValueError, match="without video"):
        decode_video(memoryview(file.getvalue()), "mp4")


def test_a_library_that_is_missing_is_named_with_its_extra() -> None:
    with pytest.raises(UsageError, match=r"no_such_module is not installed: pip install 'ropeway\[video\]'"):
        require("no_such_module", "video")
