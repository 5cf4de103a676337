"""What the trees of photographs have in common: small pictures, tables, and how subjects are dealt to splits."""

import bisect
import csv
import io
import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from raw_trees import pseudonym
from ropeway_shardgen.pseudonyms import fraction

Pixels = npt.NDArray[Any]


def noise(*shape: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Pixels that look like none before."""
    return np.random.default_rng((seed, *shape)).integers(0, 256, shape, np.uint8)


def picture(path: Path, pixels: Pixels | None = None, **how: Any) -> bytes:
    """Write a picture in the format of the path's name; without pixels some 12 × 9 RGB ones. The file's bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    form = {"jpg": "JPEG", "jpeg": "JPEG", "tif": "TIFF"}.get(path.suffix[1:].lower(), path.suffix[1:].upper())
    seed = sum(path.name.encode())
    file = io.BytesIO()
    Image.fromarray(noise(9, 12, 3, seed=seed) if pixels is None else pixels).save(file, form, **how)
    path.write_bytes(file.getvalue())
    return file.getvalue()


def table(path: Path, header: str, rows: Iterable[Sequence[object]], delimiter: str = ",") -> None:
    """Write a table as pandas does: numbers and True or False as they are, empty where there is nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(header + "\n")
        csv.writer(file, delimiter=delimiter, lineterminator="\n").writerows(rows)


def dealt(namespace: str, subjects: Iterable[str], **fractions: float) -> dict[str, int]:
    """How many samples each split gets, given the subject of each sample; splits in their order, train first."""
    counts: Counter[str] = Counter()
    ends = list(itertools.accumulate(fractions.values()))
    for subject in subjects:
        at = fraction(pseudonym(namespace, "subject", subject), seed="ropeway")
        counts[list(fractions)[bisect.bisect_right(ends, at)]] += 1
    return {split: counts[split] for split in fractions if counts[split]}
