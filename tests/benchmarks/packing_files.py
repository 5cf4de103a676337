"""Raw files of the size that hospitals and corpora have them, for the table of adapters, and what reads them bare."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import nibabel
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pydicom
import pyedflib
import scipy.io
import scipy.sparse
import tifffile
from PIL import Image

import contents
import raw_signals
import raw_videos
import raw_volumes

_BITS = 16
"""Of noise in images and volumes: smooth over so many pixels, with noise of a few grey values, as scanners give."""


@dataclass(frozen=True, slots=True)
class Raw:
    """A raw file (or folder) and how an adapter reads it.

    Attributes:
        options: as a recipe gives them.
        bare: the decoding library alone, to the same values; None where there is none, or it is the adapter itself.
    """

    path: Path
    options: Mapping[str, Any] = field(default_factory=dict)
    bare: Callable[[], object] | None = None


def _scan(slices: int, height: int, width: int) -> contents.Array:
    """Voxels [slice, row, column], int16: a slope with noise, which compresses about as CT does."""
    rng = np.random.default_rng(0)
    slope = np.add.outer(np.arange(height) // _BITS, np.arange(width) // _BITS)
    return (slope + rng.integers(-20, 20, (slices, height, width))).astype("<i2")


def _series(folder: Path) -> Raw:
    files = [
        raw_volumes.ct_slice(folder / "ct" / f"{z:03d}.dcm", pixels, z=2.5 * z, number=z + 1)
        for z, pixels in enumerate(_scan(100, 512, 512))
    ]
    return Raw(folder / "ct", bare=lambda: np.stack([pydicom.dcmread(file).pixel_array for file in files]))


def _radiograph(folder: Path) -> Raw:
    path = raw_volumes.ct_slice(folder / "x.dcm", _scan(1, 3000, 2500)[0])
    return Raw(path, bare=lambda: pydicom.dcmread(path).pixel_array)


def _nifti(folder: Path) -> Raw:
    path = raw_volumes.nifti(folder / "x.nii.gz", _scan(160, 240, 240))
    loaded: Any = nibabel
    return Raw(path, bare=lambda: np.asanyarray(loaded.load(path).dataobj))


def _original(folder: Path) -> Raw:
    path = _nifti(folder).path
    return Raw(path, {"adapter": "nifti", "key": "00" * 32, "parts": [{}]})


def _metaimage(folder: Path) -> Raw:
    path = raw_volumes.metaimage(folder / "x.mhd", _scan(100, 512, 512))
    return Raw(path, bare=lambda: np.fromfile(path.with_suffix(".raw"), "<i2"))


def _numpy(folder: Path) -> Raw:
    path = folder / "x.npy"
    np.save(path, _scan(100, 512, 512))
    return Raw(path, bare=lambda: np.load(path))


def _ecg(folder: Path) -> Raw:
    raw_signals.challenge(folder, "x", raw_signals.leads(0, 5000), "426783006", "56", "Female")
    return Raw(folder / "x.hea", bare=lambda: scipy.io.loadmat(folder / "x.mat"))


def _edf(folder: Path) -> Raw:
    path = folder / "x.edf"
    rows = np.random.default_rng(0).integers(-3000, 3000, (20, 1800 * 256), "<i2")
    raw_signals.edf(path, {f"EEG {number}": row for number, row in enumerate(rows)}, rate=256)

    def bare() -> None:
        with pyedflib.EdfReader(str(path)) as reader:
            for number in range(20):
                reader.readSignal(number)

    return Raw(path, {"seconds": 30}, bare)


def _mat(folder: Path) -> Raw:
    path = folder / "x.mat"
    scipy.io.savemat(path, {"data": np.random.default_rng(0).standard_normal((20, 1800 * 256)).astype("<f4")})
    return Raw(path, {"variable": "data"}, lambda: scipy.io.loadmat(path))


def _hdf5(folder: Path) -> Raw:
    path = folder / "x.h5"
    with h5py.File(path, "w") as file:
        file["scan"] = _scan(100, 512, 512)

    def bare() -> None:
        with h5py.File(path, "r") as file:
            file["scan"][...]

    return Raw(path, {"dataset": "scan"}, bare)


def _text_signal(folder: Path) -> Raw:
    path = folder / "x.txt"
    numbers = np.random.default_rng(0).integers(-2000, 2000, (50_000, 6))
    np.savetxt(path, numbers, "%d", header="a\tb\tc\td\te\tf", comments="", delimiter="\t")
    return Raw(path, {"channels": list("abcdef"), "dtype": "int16"}, lambda: np.loadtxt(path, np.float64, skiprows=1))


def _jpeg(folder: Path) -> Raw:
    path = folder / "x.jpg"
    Image.fromarray((_scan(1, 1024, 1024)[0] + 60).clip(0, 255).astype(np.uint8)).save(path, quality=90)
    return Raw(path)


def _mask(folder: Path) -> Raw:
    path = folder / "x.png"
    Image.fromarray((_scan(1, 1024, 1024)[0] > 60).astype(np.uint8) * 255).save(path)
    return Raw(path, bare=lambda: np.asarray(Image.open(path)))


def _tiff(folder: Path) -> Raw:
    path = folder / "x.tif"
    grey = (_scan(1, 2048, 2048)[0] + 60).clip(0, 255).astype(np.uint8)
    tifffile.imwrite(path, np.stack([grey] * 3, axis=-1), photometric="rgb", compression="zlib", tile=(256, 256))
    return Raw(path, bare=lambda: tifffile.imread(path))


def _video(folder: Path) -> Raw:
    return Raw(raw_videos.video(folder / "x.mp4", frames=250, height=480, width=640))


def _clip(folder: Path) -> Raw:
    return Raw(raw_videos.video(folder / "x.mp4", frames=1500, height=480, width=640, gop=25), {"intervals": 10})


def _cells(folder: Path) -> Raw:
    path = folder / "x.h5ad"
    rng = np.random.default_rng(0)
    counts = scipy.sparse.random_array((500, 20_000), density=0.05, format="csr", dtype=np.float32, rng=rng)
    with h5py.File(path, "w") as file:
        group = file.create_group("X")
        group.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": counts.shape})
        for name in ("data", "indices", "indptr"):
            group.create_dataset(name, data=getattr(counts, name), compression="gzip")
        file.create_group("obs").create_dataset("_index", data=[f"c{n}".encode() for n in range(500)])
        file.create_group("var").create_dataset("_index", data=[f"g{n}".encode() for n in range(20_000)])

    def bare() -> object:
        with h5py.File(path) as file:
            return scipy.sparse.csr_array(
                tuple(file[f"X/{name}"][:] for name in ("data", "indices", "indptr")), (500, 20_000)
            ).toarray()

    return Raw(path, bare=bare)


def _columns(folder: Path) -> Raw:
    path, picture = folder / "x.parquet", _jpeg(folder).path.read_bytes()
    rows = [{"image": picture[:-2] + number.to_bytes(2), "label": number} for number in range(200)]
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=50, compression="none")
    return Raw(path, {"column": "image", "format": "jpg"}, lambda: pq.read_table(path))


def _report(folder: Path) -> Raw:
    path = folder / "x.txt"
    path.write_text("No acute cardiopulmonary process. Heart size is normal.\n" * 40)
    return Raw(path)


FILES: Mapping[str, tuple[str, Callable[[Path], Raw]]] = {
    "columns": ("Parquet of 200 JPEG files", _columns),
    "dicom": ("3000 × 2500 radiograph", _radiograph),
    "dicom-series": ("CT of 100 slices, 512 × 512", _series),
    "edf": ("20 channels, 256 Hz, 30 min", _edf),
    "h5ad": ("500 cells of 20,000 genes", _cells),
    "hdf5": ("CT of 100 slices, 512 × 512", _hdf5),
    "image": ("1024 × 1024 JPEG", _jpeg),
    "mask": ("1024 × 1024 PNG", _mask),
    "mat": ("20 channels, 256 Hz, 30 min", _mat),
    "metaimage": ("CT of 100 slices, 512 × 512", _metaimage),
    "nifti": ("MR of 160 slices, 240 × 240, gzip", _nifti),
    "numpy": ("CT of 100 slices, 512 × 512", _numpy),
    "raw": ("the same NIfTI, kept as it is", _original),
    "text": ("report of 2 KB", _report),
    "text-signal": ("50,000 lines of 6 numbers", _text_signal),
    "tiff": ("2048 × 2048 RGB, deflated", _tiff),
    "video": ("10 s of 640 × 480", _video),
    "video-clip": ("10 clips of 60 s, 640 × 480", _clip),
    "wfdb": ("ECG, 12 × 5000", _ecg),
}
"""Adapter → what its file is, and the function that makes it in an empty folder."""


def stored_files(path: Path) -> Iterator[Path]:
    """A raw file, or all of a folder, and the files of its name beside it."""
    if path.is_dir():
        yield from (file for file in path.rglob("*") if file.is_file())
    else:
        yield from path.parent.glob(f"{path.stem}.*")
