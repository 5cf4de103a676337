"""Contents of parts, written by the libraries that others write such files with, and the values that went in."""

import gzip
import io
import json
import tempfile
import warnings
import wave
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import av
import msgpack
import nibabel
import numpy as np
import pydicom.data
import pyedflib
from PIL import Image

Array = np.ndarray[Any, Any]

DICOM = Path(pydicom.data.__file__).parent / "test_files"
WFDB = Path(__file__).parent / "data" / "wfdb"
"""Records written by wfdb 4.3.1, as .wfdb, and beside them as .npy what it reads from them."""

OPTIONS = {"libx265": {"x265-params": "log-level=none"}, "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"}}
CODECS = {
    "mp4": ("mp4", "libx264"),
    "mov": ("mov", "mpeg4"),
    "avi": ("avi", "mjpeg"),
    "mkv": ("matroska", "ffv1"),
    "webm": ("webm", "libvpx-vp9"),
}


def numbers(*shape: int, dtype: str = "<i2", seed: int = 0) -> Array:
    info = np.iinfo(dtype)
    random = np.random.default_rng(seed)
    return np.array(random.integers(info.min, info.max, shape, dtype, endpoint=True), dtype)


def npy(array: Array) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def smooth(height: int, width: int, channels: int = 3) -> Array:
    """A picture that compresses as photographs do."""
    y, x = np.mgrid[:height, :width]
    waves = [127 + 90 * np.sin((x * (1 + band) + y) / 40) + 30 * np.cos(y / (9 + band)) for band in range(channels)]
    picture = np.clip(np.stack(waves, -1), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(picture[..., 0] if channels == 1 else picture)


def picture(array: Array, form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, form, **options)
    return file.getvalue()


def wav(values: Array, rate: int = 8000) -> bytes:
    """PCM of integers (times, channels), or of their three bytes each, uint8 (times, channels, 3)."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(values.shape[1])
        writer.setsampwidth(values[0, 0].nbytes)
        writer.setframerate(rate)
        writer.writeframes(values.tobytes())
    return file.getvalue()


def nifti(voxels: Array, slope: float = 1, intercept: float = 0, kind: Any = nibabel.Nifti1Image) -> bytes:
    """The voxels as they are, whatever the scaling that the header says."""
    image = kind(voxels, np.eye(4))
    image.header.set_slope_inter(slope, intercept)
    head = 352 if kind is nibabel.Nifti1Image else 544
    return bytes(image.to_bytes()[:head]) + voxels.tobytes(order="F")


def nifti_big_endian(voxels: Array) -> bytes:
    kinds: Any = nibabel
    image = kinds.Nifti1Image(voxels, np.eye(4), kinds.Nifti1Header(endianness=">"))
    image.set_data_dtype(voxels.dtype)
    return bytes(image.to_bytes())


def edf(signals: Array, rate: int = 100, kind: int = pyedflib.FILETYPE_EDFPLUS, rates: tuple[int, ...] = ()) -> bytes:
    """Stored integers (signals, times) in mV from −5 to 5."""
    top = 32767 if kind in (pyedflib.FILETYPE_EDF, pyedflib.FILETYPE_EDFPLUS) else 8388607
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.edf"
        with pyedflib.EdfWriter(str(path), len(signals), file_type=kind) as writer:
            for place in range(len(signals)):
                writer.setSignalHeader(place, {
                    "label": f"S{place}", "dimension": "mV", "sample_frequency": rates[place] if rates else rate,
                    "physical_min": -5.0, "physical_max": 5.0, "digital_min": -top - 1, "digital_max": top,
                    "transducer": "", "prefilter": "",
                })  # fmt: skip
            writer.writeSamples(list(signals.astype(np.int32)), digital=True)
        return path.read_bytes()


def edf_values(content: bytes) -> Array:
    """What pyedflib reads."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.edf"
        path.write_bytes(content)
        with pyedflib.EdfReader(str(path)) as reader:
            return np.stack([reader.readSignal(place) for place in range(reader.signals_in_file)])


@cache
def video(
    form: str, frames: int = 60, height: int = 48, width: int = 64, gop: int = 12, codec: str = "", noise: int = 0
) -> bytes:
    """A video at 25 frames a second whose blue is 4 times the frame's number."""
    container, own = CODECS[form]
    file, random = io.BytesIO(), np.random.default_rng(0)
    with av.open(file, "w", format=container) as writer:
        stream: Any = writer.add_stream(codec or own, rate=25)
        stream.height, stream.width, stream.gop_size = height, width, gop
        stream.pix_fmt = "yuvj420p" if stream.name == "mjpeg" else "yuv420p"
        stream.options = OPTIONS.get(stream.name, {})
        for number in range(frames):
            image = np.zeros((height, width, 3), np.uint8)
            image[..., :2] = random.integers(0, noise + 1, (height, width, 2))
            image[..., 2] = number * 4 % 256
            writer.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        writer.mux(stream.encode())
    return file.getvalue()


def gaussian(shape: tuple[int, ...]) -> Array:
    return (np.random.default_rng(1).normal(0, 300, shape)).astype(np.int16)


SMALL: dict[str, Callable[[], bytes]] = {
    "npy": lambda: npy(numbers(12, 100)),
    "npz": lambda: _npz(a=numbers(50), b=np.eye(9)),
    "json": lambda: json.dumps({"a": [1, 2.5, None, "ü"] * 20}).encode(),
    "msgpack": lambda: msgpack.packb({"a": [1, 2.5, None, "ü"] * 20}),
    "jpg": lambda: picture(smooth(60, 80), "jpeg"),
    "png": lambda: picture(smooth(60, 80), "png"),
    "webp": lambda: picture(smooth(60, 80), "webp"),
    "tif": lambda: picture(smooth(60, 80), "tiff"),
    "tiff": lambda: picture(smooth(60, 80), "tiff", compression="tiff_lzw"),
    "bmp": lambda: picture(smooth(60, 80), "bmp"),
    "wav": lambda: wav(numbers(400, 2)),
    "nii": lambda: nifti(gaussian((9, 8, 7))),
    "nii.gz": lambda: gzip.compress(nifti(gaussian((9, 8, 7))), mtime=0),
    "dcm": (DICOM / "MR_small.dcm").read_bytes,
    "edf": lambda: edf(numbers(2, 300)),
    "bdf": lambda: edf(numbers(2, 300), kind=pyedflib.FILETYPE_BDFPLUS),
    "wfdb": (WFDB / "r212.wfdb").read_bytes,
    **{form: lambda form=form: video(form) for form in CODECS},  # type: ignore[misc]
}
"""One small content of each format whose end can be told."""


def _npz(**arrays: Array) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()


def zipped(**files: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive, warnings.catch_warnings():
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


class Counted(io.BytesIO):
    """A file that counts what is read of it."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.taken, self.reads = 0, 0

    def read(self, size: int | None = -1, /) -> bytes:
        content = super().read(size)
        self.taken, self.reads = self.taken + len(content), self.reads + 1
        return content
