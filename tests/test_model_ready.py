"""Model-ready forms: values held against SciPy, Pillow and plain NumPy, and what cannot be formed refused."""

import io
from dataclasses import replace
from fractions import Fraction
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy import signal

from ropeway.decode import FileDecoder
from ropeway.errors import UsageError
from ropeway.manifest import Part
from ropeway.model_ready import FORMS, Filled, Frames, Hounsfield, LastValues, Leads, Montage, Picture, form
from ropeway.model_ready.signals import EIGHT_LEADS, LONGITUDINAL, TWELVE_LEADS, electrode, resampled
from ropeway.readings import Reading


def npy(array: npt.NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def read(reading: Reading, part: Part, content: bytes) -> Any:
    """What a loader would get, checked against what the reading says comes out."""
    decoder, told = reading.of(part)
    found = (
        decoder.read(io.BytesIO(content)) if isinstance(decoder, FileDecoder) else decoder.decode(memoryview(content))
    )
    if told.shape is not None:
        assert all(size in (None, own) for size, own in zip(told.shape, found.shape, strict=True))
        assert found.dtype.str == told.dtype
    return found


def ecg(channels: tuple[str, ...] = TWELVE_LEADS, rate: float | None = 500.0, shape: Any = (12, 5000)) -> Part:
    return Part(name="ecg", kind="signal", format="npy", dtype="<i2", shape=shape, axes=("channel", "time"),
                sampling_rate=rate, channels=channels)  # fmt: skip


def test_names_stand_for_readings() -> None:
    assert form("ecg-8x2500") == Leads(EIGHT_LEADS, rate=250, seconds=10)
    with pytest.raises(UsageError, match="no form 'ecg-9x1'; there is: image-224, "):
        form("ecg-9x1")


# Signals


@given(before=st.integers(2, 40), after=st.integers(2, 40), seed=st.integers(0, 9))
def test_resampling_is_scipys(before: int, after: int, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=(2, before)).astype(np.float32)
    np.testing.assert_allclose(resampled(values, after), signal.resample(values, after, axis=1), atol=1e-5)


def test_twelve_leads_by_name_and_range() -> None:
    names = tuple(reversed([name.upper() for name in TWELVE_LEADS]))
    values = np.random.default_rng(0).integers(-900, 900, (12, 5000)).astype("<i2")
    found = read(FORMS["ecg-12x5000"], ecg(names), npy(values))
    flipped = values[::-1].astype(np.float32)
    np.testing.assert_allclose(found, flipped / (flipped.max() - flipped.min()), rtol=1e-6)


def test_eight_leads_at_half_the_rate() -> None:
    values = np.random.default_rng(0).normal(size=(12, 5000)).astype("<f4")
    found = read(FORMS["ecg-8x2500"], ecg(), npy(values))
    half = signal.resample(values[[0, 1, 6, 7, 8, 9, 10, 11]], 2500, axis=1)
    np.testing.assert_allclose(found, half / (half.max() - half.min()), atol=1e-5)


def test_short_flat_and_missing_values() -> None:
    short = np.ones((12, 300), "<f4")
    short[0, 5] = np.nan
    found = read(FORMS["ecg-12x5000"], ecg(shape=(12, None)), npy(short))
    assert found.shape == (12, 5000)
    assert found[:, 300:].max() == 0
    assert found[0, 5] == 0
    stored = np.random.default_rng(0).integers(-900, 900, (12, 5000)).astype("<i2")
    stored[3, 7] = 0
    gaps = stored.copy()
    gaps[3, 7] = -32768  # as WFDB records have it
    whole = read(FORMS["ecg-12x5000"], ecg(), npy(stored))
    np.testing.assert_array_equal(read(FORMS["ecg-12x5000"], ecg(), npy(gaps)), whole)
    assert not read(FORMS["ecg-12x5000"], ecg(), npy(np.zeros((12, 5000), "<i2"))).any()


def test_signals_that_do_not_say_their_channels_are_refused() -> None:
    with pytest.raises(UsageError, match="part 'ecg' has no channel 'V6'; there is: I, II"):
        FORMS["ecg-12x5000"].of(ecg(TWELVE_LEADS[:-1]))
    with pytest.raises(UsageError, match="whose channels have the same names in all samples"):
        FORMS["ecg-12x5000"].of(ecg(()))
    with pytest.raises(UsageError, match="has no sampling rate that is the same in all samples"):
        FORMS["ecg-12x5000"].of(ecg(rate=None))


@pytest.mark.parametrize(("label", "name"), [("EEG FP1-REF", "FP1"), ("EEG T3-LE", "T7"), ("t6", "P8"), ("Cz", "CZ")])
def test_electrodes(label: str, name: str) -> None:
    assert electrode(label) == name


def test_bipolar_montage() -> None:
    labels = tuple(f"EEG {name}-REF" for name in ("FP1", "FP2", "F3", "F4", "C3", "C4", "P3", "P4", "O1", "O2", "F7",
                                                  "F8", "T3", "T4", "T5", "T6", "A1"))  # fmt: skip
    values = np.random.default_rng(0).normal(size=(17, 2560)).astype("<f4")
    part = Part(name="eeg", kind="signal", format="npy", dtype="<f4", shape=(17, 2560), axes=("channel", "time"),
                sampling_rate=256.0, channels=labels)  # fmt: skip
    found = read(FORMS["eeg-16x2000"], part, npy(values))
    assert found.shape == (16, 2000)
    for pair in ("F7-T7", "T8-P8"):
        one, other = (labels.index(f"EEG {name}-REF") for name in {"F7-T7": ("F7", "T3"), "T8-P8": ("T4", "T6")}[pair])
        expected = signal.resample(values[one] - values[other], 2000)
        expected /= np.quantile(np.abs(expected), 0.95)
        np.testing.assert_allclose(found[LONGITUDINAL.index(pair)], expected, atol=1e-4)
    with pytest.raises(UsageError, match="part 'eeg' has no electrode O2"):
        Montage(("P4-O2",), 200).of(Part(name="eeg", kind="signal", format="npy", channels=("P4",)))


def test_windows_of_another_duration_are_not_taken_for_200_hz() -> None:
    part = Part(name="eeg", kind="signal", format="npy", dtype="<f4", shape=(2, 500), axes=("channel", "time"),
                sampling_rate=100.0, channels=("EEG T3-REF", "EEG C3-REF"))  # fmt: skip
    five = Montage(("T7-C3",), values=1000, rate=200)
    assert five.of(part)[1].sampling_rate == 200
    with pytest.raises(UsageError, match=r"windows of 5 s, which at 200 Hz are not 2000 values: .*values=1000\)"):
        replace(five, values=2000).of(part)
    assert replace(five, values=2000, rate=None).of(part)[1].shape == (1, 2000)


# Pictures, volumes, videos


def encoded(picture: Image.Image, form: str) -> bytes:
    file = io.BytesIO()
    picture.save(file, form)
    return file.getvalue()


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "I;16", "1"])
def test_every_picture_becomes_the_same_form(mode: str) -> None:
    ramp = np.linspace(0, 255, 40 * 20).reshape(20, 40).astype(np.uint8)
    picture = Image.fromarray(ramp.astype(np.uint16) * 200) if mode == "I;16" else Image.fromarray(ramp).convert(mode)
    part = Part(name="image", kind="image", format="png", shape=(20, 40))
    found = read(Picture(32), part, encoded(picture, "PNG"))
    assert found.shape == (32, 32, 3)
    assert found[:8].max() == 0  # fitted: twice as wide as high
    assert found[8:24].max() > 250
    if mode != "P":
        np.testing.assert_array_equal(found[..., 0], found[..., 2])
    assert read(Picture(32, channels=1), part, encoded(picture, "PNG")).shape == (32, 32, 1)


def test_deep_arrays_are_spread_over_eight_bits() -> None:
    values = np.array([[0, 1000], [2000, 4000]], "<u2")
    part = Part(name="image", kind="dicom", format="npy", dtype="<u2", windows={"bone": (1500, 1000)})
    np.testing.assert_array_equal(read(Picture(2, channels=1), part, npy(values))[..., 0], [[0, 64], [128, 255]])
    bone = read(Picture(2, channels=1, window="bone"), part, npy(values))[..., 0]
    np.testing.assert_array_equal(bone, [[0, 0], [255, 255]])
    with pytest.raises(UsageError, match="part 'image' has no window 'lung'; there is: bone"):
        Picture(2, window="lung").of(part)


@pytest.mark.parametrize("axes", [("slice", "height", "width"), ("channel", "time"), ("node", "node")])
def test_what_has_other_axes_is_no_picture(axes: tuple[str, ...]) -> None:
    part = Part(name="x", kind="volume", format="npy", axes=axes, shape=(4, 4, 4)[: len(axes)])
    with pytest.raises(UsageError, match=f"Picture can't read part 'x': its axes are {', '.join(axes)}"):
        Picture(8).of(part)


def test_a_batch_of_volumes_is_no_picture() -> None:
    part = Part(name="image", kind="volume", format="npy")
    with pytest.raises(ValueError, match="no picture"):
        read(Picture(8), part, npy(np.zeros((9, 8, 8), np.uint8)))


def ct(axes: tuple[str, ...] = ("slice", "height", "width"), units: str = "HU") -> Part:
    return Part(name="ct", kind="volume", format="npy", dtype="<i2", shape=(None, None, None), axes=axes, units=units)


def test_the_middle_slab_in_a_window() -> None:
    volume = np.full((30, 8, 6), -1000, "<i2")
    volume[3:27] = np.arange(24)[:, None, None] * 100 - 1350
    found = read(Hounsfield(-600, 1500, size=4), ct(), npy(volume))
    np.testing.assert_allclose(found[:, 2, 2], (np.arange(24) / 15).clip(0, 1), atol=1e-6)


def test_a_thin_volume_is_filled_up_and_a_start_may_be_given() -> None:
    volume = np.full((4, 5, 5), 400, "<i2")
    found = read(Hounsfield(400, 1000, slices=8, size=5), ct(), npy(volume))
    assert found[:, 0, 0].tolist() == [0, 0, 0.5, 0.5, 0.5, 0.5, 0, 0]
    late = read(Hounsfield(400, 1000, slices=8, size=5, start=3), ct(), npy(volume))
    assert late[:, 0, 0].tolist() == [0.5] + [0] * 7
    with pytest.raises(ValueError, match="a volume of 4 slices has none from 4 on"):
        read(Hounsfield(400, 1000, start=4), ct(), npy(volume))


@pytest.mark.parametrize(
    ("part", "found"),
    [
        (ct(units=""), r"npy \(slice, height, width\), units 'none'"),
        (ct(("x", "y", "z")), r"npy \(x, y, z\), units 'HU'"),
        (ct(("height", "width")), r"npy \(height, width\), units 'HU'"),
        (replace(ct(), format=""), r"several formats \(slice, height, width\), units 'HU'"),
    ],
)
def test_what_does_not_lie_slice_by_slice_in_hounsfield_units_is_refused(part: Part, found: str) -> None:
    with pytest.raises(UsageError, match=rf"it takes npy volumes \(slice, height, width\) in units HU, not {found}"):
        Hounsfield(400, 1000).of(part)


def video(frames: int, form: str = "mp4", codec: str = "libx264") -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=form) as container:
        stream: Any = container.add_stream(codec, rate=Fraction(25))
        stream.width, stream.height, stream.pix_fmt = 64, 32, "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for number in range(frames):
            grey = np.full((32, 64, 3), 10 + 12 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, "rgb24")))
        container.mux(stream.encode(None))
    return file.getvalue()


@pytest.mark.parametrize(("form", "codec"), [("mp4", "libx264"), ("avi", "mjpeg")])
def test_frames_are_spread_over_a_video(form: str, codec: str) -> None:
    part = Part(name="video", kind="video", format=form)
    found = read(Frames(4, 32), part, video(16, form, codec))
    assert found.shape == (4, 32, 32, 3)
    np.testing.assert_allclose(found[:, 16, 16, 0], [10, 70, 130, 190], atol=4)
    assert found[:, :8].max() == 0
    few = read(Frames(5, 32), part, video(2, form, codec))
    assert len(np.unique(few[:, 16, 16, 0].round(-1))) == 2
    with pytest.raises((ValueError, OSError)):
        read(Frames(4, 32), part, video(16, form, codec)[:-900])
    with pytest.raises(UsageError, match="Frames can't read part 'x' of format 'png'"):
        Frames(4, 32).of(Part(name="x", kind="image", format="png"))


# Records

NAN = float("nan")
STAY = np.array([[NAN, 5.0], [80.0, NAN], [NAN, NAN], [90.0, NAN]], "<f4")


def ehr(channels: tuple[str, ...] = ("Heart rate", "Glucose")) -> Part:
    return Part(name="ehr", kind="events", format="npy", dtype="<f4", shape=(4, 2), axes=("time", "feature"),
                channels=channels)  # fmt: skip


def test_gaps_keep_the_last_value() -> None:
    found = read(FORMS["ehr-filled"], ehr(), npy(STAY))
    np.testing.assert_array_equal(found, [[0, 5], [80, 5], [80, 5], [90, 5]])
    assert read(Filled(before=-1), ehr(), npy(STAY))[0, 0] == -1


def test_last_values_as_a_line() -> None:
    assert read(FORMS["ehr-text"], ehr(), npy(STAY)) == "Heart rate 90; Glucose 5"
    assert read(LastValues(), ehr(), npy(np.full((4, 2), NAN, "<f4"))) == ""
    with pytest.raises(UsageError, match="does not name its features"):
        LastValues().of(ehr(()))
