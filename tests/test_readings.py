"""Partial reads: any bit of a part equals that bit of the whole, and little more than its bytes is read."""

import io
from dataclasses import replace
from typing import Any

import nibabel
import numpy as np
import pyedflib
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

import contents
from contents import Counted, numbers, picture, smooth
from ropeway.decode import DECODERS, Decoder, FileDecoder
from ropeway.decoders.layout import GAP
from ropeway.decoders.video import READ
from ropeway.errors import StoreError, UsageError
from ropeway.manifest import Part
from ropeway.readings import Clip, Image, Reading, Slab, Whole, Window

Array = np.ndarray[Any, Any]

HEAD = 8192
"""Bytes of the longest header that is read at once."""


def part(form: str, **what: Any) -> Part:
    kind: Any = {"wav": "signal", "edf": "signal", "bdf": "signal", "jpg": "image"}.get(form, "volume")
    return Part(name="x", kind=kind, format=form, **what)


def read(reading: Reading, of: Part, file: io.BytesIO) -> Array:
    """What a reading gives, held against the part that it says comes out."""
    decoder, given = reading.of(of)
    value: Array = decoder.read(file) if isinstance(decoder, FileDecoder) else decoder.decode(memoryview(file.read()))
    if given.shape is not None:
        assert len(given.shape) == value.ndim
        assert all(size in (None, real) for size, real in zip(given.shape, value.shape, strict=True))
    if given.dtype is not None:
        assert value.dtype == np.dtype(given.dtype)
    assert value.flags.writeable
    return value


def whole(form: str, content: bytes) -> Array:
    array: Array = DECODERS[form].decode(memoryview(content))
    return array


def cut(array: Array, axis: int, start: int, stop: int) -> Array:
    return np.take(array, range(start, stop), axis)


# Slab


@st.composite
def slabs(draw: st.DrawFn) -> tuple[tuple[int, ...], int, int, int]:
    shape = tuple(draw(st.lists(st.integers(1, 9), min_size=1, max_size=4)))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    start = draw(st.integers(0, shape[axis] - 1))
    return shape, axis, start, draw(st.integers(start + 1, shape[axis]))


@given(slabs(), st.sampled_from(["<i2", ">i4", "|u1", "<f8", "|b1"]), st.booleans())
def test_any_slab_of_npy_is_that_slice(slab: tuple[tuple[int, ...], int, int, int], dtype: str, fortran: bool) -> None:
    shape, axis, start, stop = slab
    array = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    content = contents.npy(np.asfortranarray(array) if fortran else array)
    declared = part("npy", shape=shape, dtype=dtype)
    got = read(Slab(start, stop, axis), declared, Counted(content))
    assert got.dtype == array.dtype
    assert np.array_equal(got, cut(array, axis, start, stop))


@settings(max_examples=40)
@given(slabs(), st.sampled_from([(1.0, 0.0), (0.5, -100.0)]), st.sampled_from(["Nifti1Image", "Nifti2Image"]))
def test_any_slab_of_nifti_is_that_slice(
    slab: tuple[tuple[int, ...], int, int, int], scaling: tuple[float, float], kind: str
) -> None:
    shape, axis, start, stop = slab
    content = contents.nifti(contents.gaussian(shape), *scaling, getattr(nibabel, kind))
    all_of_it = whole("nii", content)
    got = read(Slab(start, stop, axis), part("nii", shape=shape), Counted(content))
    assert got.dtype == all_of_it.dtype
    assert np.array_equal(got, cut(all_of_it, axis, start, stop))


@pytest.mark.parametrize(("form", "axis"), [("npy", 0), ("nii", 2)])
def test_a_slab_is_two_reads_and_only_its_bytes(form: str, axis: int) -> None:
    shape = (40, 128, 128) if form == "npy" else (128, 128, 40)
    array = contents.gaussian(shape)
    file = Counted(contents.npy(array) if form == "npy" else contents.nifti(array))
    got = read(Slab(10, 26, axis), part(form, shape=shape), file)
    assert np.array_equal(got, cut(array, axis, 10, 26))
    assert file.reads == 2
    assert file.taken <= got.nbytes + 540


def test_a_slab_across_reads_its_pieces_and_small_gaps_only() -> None:
    array = numbers(6, 100, 1000)  # a piece every 200 KB
    file = Counted(contents.npy(array))
    got = read(Slab(7, 9, axis=1), part("npy", shape=(6, 100, 1000)), file)
    assert np.array_equal(got, array[:, 7:9])
    assert (file.reads, file.taken) == (1 + 6, 128 + got.nbytes)
    near = Counted(contents.npy(array))
    read(Slab(5, 10, axis=2), part("npy", shape=(6, 100, 1000)), near)
    assert near.reads == 2
    assert GAP > 2 * 1000


@pytest.mark.parametrize("bad", [(3, 3), (-1, 2), (5, 2)])
def test_slabs_of_nothing(bad: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match="0 <= start < stop"):
        Slab(*bad)


def test_slabs_outside() -> None:
    declared = part("npy", shape=(None, 4, 5), dtype="<i2")
    assert Slab(2, 9).of(declared)[1] == replace(declared, shape=(7, 4, 5))
    with pytest.raises(UsageError, match="part 'x' has 4 values along axis 1, 2 to 9 are asked for"):
        Slab(2, 9, axis=1).of(declared)
    with pytest.raises(UsageError, match="no axis 3"):
        Slab(2, 9, axis=3).of(declared)
    with pytest.raises(UsageError, match=r"Slab can't read part 'x' of format 'nii\.gz': it reads npy, nii"):
        Slab(2, 9).of(part("nii.gz"))
    short = io.BytesIO(contents.npy(numbers(8, 4, 5)))
    with pytest.raises(ValueError, match=r"2:9 of axis 0 is outside shape \(8, 4, 5\)"):
        read(Slab(2, 9), declared, short)
    with pytest.raises(ValueError, match="cut short"):
        read(Slab(2, 8), declared, io.BytesIO(short.getvalue()[:-1]))


# Window


def test_any_window_of_an_array_is_that_slice() -> None:
    array = numbers(3, 40_000)
    declared = part("npy", shape=(3, None), dtype="<i2", sampling_rate=250.0)
    file = Counted(contents.npy(array))
    got = read(Window(100, 102.5), declared, file)
    assert np.array_equal(got, array[:, 25_000:25_625])
    assert (file.reads, file.taken) == (1 + 3, 128 + got.nbytes)
    times_first = replace(declared, shape=(None, 3), axes=("time", "channel"))
    file = Counted(contents.npy(np.ascontiguousarray(array.T)))
    assert np.array_equal(read(Window(100, 102.5), times_first, file), array.T[25_000:25_625])
    assert file.reads == 2


@given(st.floats(0, 8), st.floats(0.01, 1.9), st.sampled_from([100.0, 128.0, 333.3]))
def test_windows_of_one_length_have_equally_many_values(start: float, length: float, rate: float) -> None:
    declared = part("npy", shape=(2, 10_000), dtype="<i2", sampling_rate=rate)
    many = {Window(at, at + 0.5).of(declared)[1].shape for at in (start, start + length, 0.0)}
    assert many == {(2, round(0.5 * rate))}


def test_windows_need_a_rate_and_a_fitting_part() -> None:
    with pytest.raises(UsageError, match=r"no sampling rate in its manifest: take ropeway.Slab\(…, axis=-1\)"):
        Window(0, 1).of(part("npy", shape=(2, 100)))
    with pytest.raises(UsageError, match="100 values along axis 1, 0 to 101 are asked for"):
        Window(0, 1.01).of(part("npy", shape=(2, 100), sampling_rate=100.0))
    with pytest.raises(UsageError, match="no value between"):
        Window(0, 0.001).of(part("npy", shape=(2, 100), sampling_rate=100.0))
    with pytest.raises(UsageError, match="Window can't read part 'x' of format 'jpg'"):
        Window(0, 1).of(part("jpg"))
    for bad in ((1, 1), (-1, 2)):
        with pytest.raises(UsageError, match="0 <= start < stop"):
            Window(*bad)


@settings(max_examples=30)
@given(st.integers(0, 3900), st.integers(1, 100), st.sampled_from(["<i2", "|u1", "three bytes"]))
def test_any_window_of_wav_is_that_slice(first: int, count: int, dtype: str) -> None:
    values = numbers(4000, 2, dtype="<i4") if dtype == "three bytes" else numbers(4000, 2, dtype=dtype)
    if dtype == "three bytes":
        values = values[..., None].view(np.uint8)[..., :3]
    file = Counted(contents.wav(values, rate=1000))
    window = Window(first / 1000, (first + count) / 1000)
    got = read(window, part("wav", shape=(2, 4000), sampling_rate=1000.0), file)
    assert np.array_equal(got, whole("wav", file.getvalue())[:, first : first + count])
    assert file.taken <= count * values[0].nbytes + 64


@pytest.mark.parametrize("kind", [pyedflib.FILETYPE_EDFPLUS, pyedflib.FILETYPE_BDF])
@pytest.mark.parametrize("signals", [2, 40])
def test_any_window_of_edf_is_that_slice(kind: int, signals: int) -> None:
    content = contents.edf(numbers(signals, 20_000, dtype="<i2"), kind=kind)
    all_of_it = whole("edf", content)
    size = 256 * (signals + 2)
    for first, count in [(0, 1), (0, 20_000), (12_345, 678), (19_900, 100), (100, 100)]:
        file = Counted(content)
        window = Window(first / 100, (first + count) / 100)
        got = read(window, part("edf", shape=(signals, 20_000), sampling_rate=100.0), file)
        assert np.array_equal(got, all_of_it[:, first : first + count])
        records = (first + count - 1) // 100 - first // 100 + 1
        assert file.reads <= 3
        assert file.taken <= records * (len(content) - size) // 200 + max(HEAD, size) + 1000
    with pytest.raises(ValueError, match="outside"):
        read(Window(199, 201), part("edf"), Counted(content))


# Clip


@pytest.mark.parametrize(("form", "codec"), [
    ("mp4", "libx264"), ("mp4", "libx265"), ("mov", "mpeg4"), ("avi", "mjpeg"), ("avi", "mpeg4"), ("mkv", "ffv1"),
    ("webm", "libvpx-vp9"),
])  # fmt: skip
def test_any_clip_is_that_slice(form: str, codec: str) -> None:
    content = contents.video(form, codec=codec)
    frames = whole(form, content)
    declared = replace(part(form, shape=(None, 48, 64, 3)), kind="video")
    for clip in [Clip(0, 60), Clip(0, 1), Clip(59, 1), Clip(11, 3), Clip(24, 12), Clip(25, 4, every=7), Clip(47, 2)]:
        stop = clip.start + clip.frames * clip.every
        got = read(clip, declared, io.BytesIO(content))
        assert np.array_equal(got, frames[clip.start : stop : clip.every]), clip
    with pytest.raises((ValueError, OSError)):
        read(Clip(50, 11), declared, io.BytesIO(content))
    with pytest.raises((ValueError, OSError)):
        read(Clip(5000, 2), declared, io.BytesIO(content))


@pytest.mark.parametrize("start", [0, 65, 130])
@pytest.mark.parametrize("form", ["mp4", "avi", "mkv", "webm"])
def test_a_clip_reads_little_of_the_file(form: str, start: int) -> None:
    content = contents.video(form, frames=150, height=192, width=256, noise=250)
    assert len(content) > 10 * READ
    file = Counted(content)
    got = read(Clip(start, 8), replace(part(form), kind="video"), file)
    assert len(got) == 8
    group = len(content) * 2 * 12 // 150
    assert file.taken <= group + 6 * READ
    assert file.taken < len(content) // 2


def test_clips_that_can_not_be() -> None:
    for bad in ((-1, 2, 1), (0, 0, 1), (0, 2, 0)):
        with pytest.raises(UsageError, match="are needed"):
            Clip(*bad)
    with pytest.raises(UsageError, match="50 values along axis 0, 40 to 51 are asked for"):
        Clip(40, 6, every=2).of(part("mp4", shape=(50, 48, 64, 3)))
    with pytest.raises(UsageError, match="Clip can't read part 'x' of format 'npy'"):
        Clip(0, 2).of(part("npy"))
    out_of_order = contents.video("avi", codec="libx264")
    with pytest.raises(ValueError, match="out of order"):
        read(Clip(0, 2), part("avi"), io.BytesIO(out_of_order))


def test_what_a_store_says_reaches_the_reader_of_a_clip() -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise StoreError("the store is gone")

    decoder, _ = Clip(0, 2).of(part("mp4"))
    assert isinstance(decoder, FileDecoder)
    with pytest.raises(StoreError, match="the store is gone"):
        decoder.read(Broken(contents.video("mp4")))


# Image


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(224, 224), (64, 96), (700, 700)])
def test_jpegs_are_scaled_close_to_what_a_full_decode_gives(channels: int, size: tuple[int, int]) -> None:
    content = picture(smooth(601, 803, channels), "jpeg", quality=95)
    declared = part("jpg", shape=(None, None) if channels == 1 else (None, None, 3))
    got = read(Image(size), declared, io.BytesIO(content))
    expected = np.asarray(Pillow.open(io.BytesIO(content)).resize((size[1], size[0]), Pillow.Resampling.BICUBIC))
    assert got.shape == expected.shape
    assert np.abs(got.astype(int) - expected).mean() < 1
    assert np.abs(got.astype(int) - expected).max() < 24


@pytest.mark.parametrize("eighths", [1, 2, 4])
def test_a_jpeg_is_scaled_while_it_is_decoded(eighths: int) -> None:
    """As libjpeg does in the DCT when Pillow asks it to; decoding all and resampling it gives other values."""
    content, size = picture(numbers(448, 448, 3, dtype="|u1"), "jpeg", quality=95, subsampling=0), 448 * eighths // 8
    drafted, decoded = Pillow.open(io.BytesIO(content)), Pillow.open(io.BytesIO(content))
    drafted.draft("RGB", (size, size))
    assert drafted.size == (size, size)
    got = read(Image(size), part("jpg"), io.BytesIO(content)).astype(int)
    assert np.abs(got - np.asarray(drafted)).max() <= 2
    assert np.abs(got - np.asarray(decoded.resize((size, size), Pillow.Resampling.BICUBIC))).mean() > 2


def test_a_jpeg_of_that_size_is_left_alone() -> None:
    content = picture(smooth(224, 224), "jpeg")
    assert np.array_equal(read(Image(224), part("jpg"), io.BytesIO(content)), whole("jpg", content))


@pytest.mark.parametrize("form", ["jpeg", "png"])
def test_what_becomes_of_the_proportions(form: str) -> None:
    wide = np.zeros((100, 300), np.uint8)
    wide[:, :100], wide[:, 100:200], wide[:, 200:] = 40, 140, 240
    content, declared = picture(wide, form), part("jpg" if form == "jpeg" else form, shape=(None, None))
    stretched, cropped, padded = (
        read(Image(60, fit=fit), declared, io.BytesIO(content)).astype(int) for fit in ("stretch", "crop", "pad")
    )
    assert np.abs(stretched[:, [8, 30, 52]] - [40, 140, 240]).max() < 4
    assert np.abs(cropped[:, 4:-4] - 140).max() < 4
    assert not padded[:20].any()
    assert not padded[40:].any()
    assert np.abs(padded[20:40][:, [8, 30, 52]] - [40, 140, 240]).max() < 4


@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 40), st.integers(1, 40),
       st.sampled_from(["stretch", "crop", "pad"]), st.sampled_from(["jpeg", "png"]))  # fmt: skip
def test_every_picture_gets_the_size(high: int, wide: int, height: int, width: int, fit: Any, form: str) -> None:
    content = picture(np.full((high, wide, 3), 200, np.uint8), form)
    got = read(Image((height, width), fit), part("jpg" if form == "jpeg" else form), io.BytesIO(content))
    assert got.shape == (height, width, 3)
    if fit != "pad":
        assert np.abs(got.astype(int) - 200).max() <= 2


def test_16_bits_of_grey_stay_16_bits() -> None:
    grey = (smooth(300, 200, 1).astype(np.uint16) << 8) | 0xFF
    got = read(Image(64), part("png", dtype="<u2", shape=(300, 200)), io.BytesIO(picture(grey, "png")))
    expected = np.asarray(Pillow.fromarray(grey.astype(np.float32)).resize((64, 64), Pillow.Resampling.BICUBIC))
    assert got.dtype == np.uint16
    assert np.abs(got - expected).max() <= 0.51
    sharp = np.zeros((40, 40), np.uint16)
    sharp[:, 20:] = 65535
    edge = read(Image(99), part("png"), io.BytesIO(picture(sharp, "png")))  # bicubic overshoots at edges
    assert edge[:, :40].max() < 3000
    assert edge[:, 60:].min() > 62_000


def test_pictures_that_have_no_one_size() -> None:
    pages = [Pillow.fromarray(page) for page in numbers(5, 30, 40, dtype="<u2")]
    file = io.BytesIO()
    pages[0].save(file, "tiff", save_all=True, append_images=pages[1:])
    with pytest.raises(ValueError, match="a picture of 5 pages"):
        read(Image(20), part("tif"), io.BytesIO(file.getvalue()))
    for bad in (0, (5, 0)):
        with pytest.raises(UsageError, match="size >= 1"):
            Image(bad)
    with pytest.raises(UsageError, match="Image can't read part 'x' of format 'dcm'"):
        Image(20).of(part("dcm"))


def test_whole_is_the_built_in_decoder() -> None:
    declared = part("npy", shape=(2, 3), dtype="<i2")
    assert Whole().of(declared) == (DECODERS["npy"], declared)
    with pytest.raises(UsageError, match="no decoder"):
        Whole().of(part("xyz"))


def test_readings_are_values_that_travel() -> None:
    import pickle

    readings: list[Reading] = [Slab(1, 2), Window(0, 1), Clip(0, 2), Image(20), Whole()]
    for reading in readings:
        assert pickle.loads(pickle.dumps(reading)) == reading
        assert hash(reading) == hash(pickle.loads(pickle.dumps(reading)))
    assert isinstance(Image(20).of(part("jpg"))[0], Decoder)
