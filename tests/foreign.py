"""WebDataset tars as others write them: with the webdataset library, GNU tar, and by hand where they are odd."""

import io
import json
import subprocess
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import webdataset
from PIL import Image

from ropeway.manifest import SplitName
from ropeway.samples import Array


def jpeg(shade: int) -> bytes:
    """A grey picture of 8 × 8 pixels, in colour."""
    return picture(shade, "JPEG")


def picture(shade: int, form: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (shade, shade, shade)).save(file, form)
    return file.getvalue()


def ecg(number: int) -> Array:
    return np.full((3, 5), number, "<i2")


def write_shard(path: Path, numbers: Iterable[int], *, key: str = "{:05d}") -> Path:
    """Sample i with the webdataset library's own writer: `jpg`, `cls` i mod 3, `json` with the age i, `ecg.npy`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with webdataset.TarWriter(str(path)) as writer:
        for number in numbers:
            told = {
                "age": number, "site": {"name": "abc"[number % 3]}, "score": number / 2, "smoker": number % 2 == 0,
                "findings": ["MI", "CD"][: number % 3], "subject": f"s{number // 4}",
            }  # fmt: skip
            writer.write({"__key__": key.format(number), "jpg": jpeg(number % 200), "cls": number % 3,
                          "ecg.npy": ecg(number), "json": told})  # fmt: skip
    return path


def write_shards(folder: Path, count: int) -> Path:
    """A folder of so many shards of ten samples: `x-000.tar`, `x-001.tar`, …"""
    for number in range(count):
        write_shard(folder / f"x-{number:03d}.tar", range(10 * number, 10 * number + 10))
    return folder


def train(pattern: str) -> dict[SplitName, list[str]]:
    """What to adopt: shards of this pattern, as training data."""
    return {"train": [pattern]}


def write_members(path: Path, members: Sequence[tuple[str, bytes]], form: int = tarfile.PAX_FORMAT) -> Path:
    """A tar of these members, in this order, whatever they are called."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=form) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def gnu_tar(folder: Path, path: Path) -> Path:
    """A folder as GNU tar packs it: a directory first, `./` before every name, padding to 10 KiB."""
    subprocess.run(["tar", "--sort=name", "-cf", str(path), "-C", str(folder), "."], check=True)
    return path


def note(text: object) -> bytes:
    return json.dumps(text).encode()
