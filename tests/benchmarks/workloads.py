"""The samples that every system gets: made from their numbers alone, sorted by label."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Content = npt.NDArray[np.int16] | bytes

BANK = 128
"""Different contents that samples take turns in; an array begins with its sample's own number all the same."""

SHARE = 20
"""A subset is one sample in so many."""

WANTED = 7
"""The class that a subset keeps."""


@dataclass(frozen=True, slots=True)
class Part:
    """What each sample has: an int16 array, a JPEG picture (height, width, 3), or a line of text.

    Attributes:
        every: of so many samples, all but one have it; 0: all have it.
    """

    name: str
    kind: Literal["array", "picture", "text"]
    shape: tuple[int, ...] = ()
    every: int = 0

    def lacks(self, number: int) -> bool:
        """Whether a sample goes without."""
        return bool(self.every) and number % self.every == self.every - 1


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample; a part that it lacks is not among its parts."""

    number: int
    parts: Mapping[str, Content]
    labels: Mapping[str, int]

    @property
    def key(self) -> str:
        return f"s{self.number:07d}"

    @property
    def contents(self) -> dict[str, bytes]:
        """The parts as rivals store them: raw little-endian elements, JPEG files, UTF-8."""
        return {name: part if isinstance(part, bytes) else part.tobytes() for name, part in self.parts.items()}


@dataclass(frozen=True, slots=True)
class Workload:
    """Samples of one kind, and how they are streamed.

    Attributes:
        dataset: what is written; workloads that keep different samples of one dataset share it.
        samples: how many are written; `quick` of them in a quick run.
        batch: samples in a batch.
        label: the label that comes with each batch and by which its mixing is measured.
        keep: the label by which one sample in `SHARE` is kept, or None for all.
    """

    name: str
    title: str
    dataset: str
    samples: int
    quick: int
    batch: int
    parts: tuple[Part, ...]
    label: str = "label"
    keep: str | None = None

    @property
    def label_names(self) -> tuple[str, ...]:
        return ("clustered", "scattered") if self.dataset == "subset" else ("label",)

    @property
    def classes(self) -> int:
        """Classes of each label."""
        return SHARE if self.dataset == "subset" else 10

    def labels(self, name: str, numbers: Ints) -> Ints:
        """A label of samples: ascending with their numbers, or scattered over them."""
        if name == "scattered":
            return (numbers * 2_654_435_761 >> 7) % self.classes
        return numbers * self.classes // self.samples

    def delivered(self) -> Ints:
        """Numbers of the samples that an epoch gives."""
        numbers = np.arange(self.samples)
        return numbers if self.keep is None else numbers[self.labels(self.keep, numbers) == WANTED]

    @property
    def sample_bytes(self) -> float:
        """Mean bytes of a sample's contents, as stored."""
        return sum(_mean_bytes(part) * (1 - (1 / part.every if part.every else 0)) for part in self.parts)

    def resized(self, samples: int) -> "Workload":
        return replace(self, samples=samples)

    def __iter__(self) -> Iterator[Sample]:
        named = {name: self.labels(name, np.arange(self.samples)).tolist() for name in self.label_names}
        for number in range(self.samples):
            parts = {part.name: _content(part, number) for part in self.parts if not part.lacks(number)}
            yield Sample(number, parts, {name: labels[number] for name, labels in named.items()})

    def check(self, batch: Mapping[str, Any]) -> None:
        """Raise ValueError when a batch is not of these samples, or a sample's parts and label are not of one."""
        labels = np.asarray(batch["label"])
        for part in self.parts:
            content = batch[part.name]
            if len(content) != len(labels):
                raise ValueError(f"{len(content)} contents of {part.name} for {len(labels)} labels")
            if part.kind == "array":
                array = np.asarray(content)
                if array.dtype != np.int16 or array.shape[1:] != part.shape:
                    raise ValueError(f"{part.name} came as {array.dtype}{array.shape[1:]}")
                first, second = array.reshape(len(array), -1)[:, :2].astype(np.int64).T
                self._check(part, first | second << 15, labels)
            elif part.kind == "text":
                self._check(part, np.array([int(text.split(",")[0].split()[1]) for text in content]), labels)

    def _check(self, part: Part, numbers: Ints, labels: Ints) -> None:
        """Number 0 proves nothing: the sample lacks the part, or is the very first."""
        if ((numbers != 0) & (self.labels(self.label, numbers) != labels)).any():
            raise ValueError(f"labels do not belong to their {part.name}")
        if (numbers == 0).sum() > 1 and not part.every:
            raise ValueError(f"{part.name} is missing from samples that have it")


ECG = Part("ecg", "array", (12, 1000))
_MIXED = (Part("ecg", "array", (12, 1000), every=4), Part("photo", "picture", (96, 96, 3), every=3),
          Part("note", "text"))  # fmt: skip

WORKLOADS = {
    work.name: work
    for work in (
        Workload("ecg", "ECG 12×1000 int16, 24 KB", "ecg", 24_000, 3000, 256, (ECG,)),
        Workload("tiny", "tiny 512 int16, 1 KB", "tiny", 100_000, 12_000, 256, (Part("x", "array", (512,)),)),
        Workload("jpeg", "JPEG 224², 20 KB", "jpeg", 8000, 1200, 256, (Part("photo", "picture", (224, 224, 3)),)),
        Workload("volume", "volumes 64×128×128 int16, 2 MB", "volume", 300, 64, 8,
                 (Part("volume", "array", (64, 128, 128)),)),
        Workload("mixed", "ECG, picture and text, some missing", "mixed", 8000, 1200, 256, _MIXED),
        Workload("clustered", "5 % of the ECGs, matches together", "subset", 24_000, 6000, 256, (ECG,),
                 "scattered", "clustered"),
        Workload("scattered", "5 % of the ECGs, matches apart", "subset", 24_000, 6000, 256, (ECG,),
                 "clustered", "scattered"),
    )
}  # fmt: skip
"""By name."""


def _content(part: Part, number: int) -> Content:
    if part.kind == "text":
        return f"sample {number}, nothing to report".encode()
    if part.kind == "picture":
        return _pictures(part.shape)[number * 37 % BANK]
    bank = _arrays(part.shape)
    array: npt.NDArray[np.int16] = bank[number % len(bank)].copy()
    array.flat[:2] = (number & 0x7FFF, number >> 15)
    return array


def _mean_bytes(part: Part) -> float:
    if part.kind == "array":
        return float(np.prod(part.shape)) * 2
    if part.kind == "picture":
        return float(np.mean([len(picture) for picture in _pictures(part.shape)]))
    return float(len(_content(part, 0)))


@lru_cache
def _arrays(shape: tuple[int, ...]) -> npt.NDArray[np.int16]:
    count = min(BANK, max(1, (32 << 20) // (2 * int(np.prod(shape)))))
    return np.random.default_rng(0).integers(-2000, 2000, (count, *shape), np.int16)


@lru_cache
def _pictures(shape: tuple[int, ...]) -> list[bytes]:
    """Smooth noise with a little grain: they compress like photographs."""
    import simplejpeg

    rng = np.random.default_rng(1)
    return [bytes(simplejpeg.encode_jpeg(_noise(shape, rng), quality=90, colorsubsampling="420")) for _ in range(BANK)]


def _noise(shape: tuple[int, ...], rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    from PIL import Image

    height, width, _ = shape
    picture = rng.normal(0, 5, shape)
    for size, strength in ((7, 60), (28, 25), (84, 14)):
        coarse = Image.fromarray(rng.integers(0, 256, (size, size, 3), np.uint8))
        smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.float64)
        picture += (smooth - 128) * strength / 60
    return np.ascontiguousarray(np.clip(picture + 128, 0, 255).astype(np.uint8))
