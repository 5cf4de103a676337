"""What a dataset version holds: the manifest, and where in a store it and its objects lie.

Frozen dataclasses, written canonically (`dumps`): equal manifests are equal bytes; `manifest_reading` reads them. A
manifest is written last and only if absent, so its presence is what publishes a version.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal, TypeAlias

import msgspec

from ropeway.keys import check_dataset

FORMAT = 1
"""Number of this storage format; a reader refuses a higher one."""

Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]
SplitName: TypeAlias = Literal["train", "valid", "test"]
Access: TypeAlias = Literal["open", "registered", "credentialed", "restricted"]
TaskType: TypeAlias = Literal["binary", "multiclass", "multilabel", "regression", "segmentation", "text", "link"]
Kind: TypeAlias = Literal[
    "image", "dicom", "volume", "signal", "video", "expression", "table", "graph", "text", "events"
]

SPLITS: tuple[SplitName, ...] = ("train", "valid", "test")
_VERSION = re.compile(r"[0-9a-f]{12}")
_URL = re.compile(r"[a-z][a-z0-9+.-]*://")


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What a person wants to know of a dataset before using it."""

    title: str
    domain: str
    modalities: tuple[str, ...]
    licence: str
    access: Access
    unit: str
    """What one sample is: image, slice, window, study, stay, patient, cell, …"""
    citation: str = ""
    homepage: str = ""
    description: str = ""
    shareable: bool = True
    """False when the licence bars passing the packed form on (no derivatives, none stated)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One role a member of a sample can have, and what all its members have in common."""

    name: str
    kind: Kind
    format: str
    dtype: str | None = None
    """NumPy dtype string with byte order (`<i2`); null for encoded formats."""
    shape: tuple[int | None, ...] | None = None
    """Null where a dimension varies between samples; null as a whole when the number of dimensions does."""
    axes: tuple[str, ...] = ()
    units: str = ""
    sampling_rate: float | None = None
    """Hz."""
    channels: tuple[str, ...] = ()
    """Names along the channel axis: leads, genes, table columns."""
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    """Per channel, of values scaled to 0…1, where somebody published them. Stored values are as they were."""
    windows: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Ways to look at it: name → centre and width, in its units."""
    samples: Count = 0
    """How many samples have this part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A named target. Labels of `classes` tasks are stored as positions in `classes`.

    A multilabel label lists the classes that apply, and as −(position + 1) those of which nobody knows.
    """

    id: str
    type: TaskType
    classes: tuple[str, ...] = ()
    units: str = ""
    description: str = ""
    question: str = ""
    """What a person would ask, for the question-answer form."""
    target: str = ""
    """The part that is the target (a mask, a report, labels of a graph's nodes); such a task has no index column."""

    def named(self, label: int | float | Sequence[int] | None) -> str | float | list[str] | None:
        """A stored label by class name; numbers and None stay as they are. Unknown classes are left out."""
        if label is None or not self.classes:
            return label  # type: ignore[return-value]
        if isinstance(label, Sequence):
            return [self.classes[number] for number in label if number >= 0]
        return self.classes[int(label)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Totals of one split."""

    name: SplitName
    samples: Count
    subjects: Count
    bytes: Count
    shards: Count
    studies: Count = 0
    """Exams, recordings or stays; 0 where the recipe names none."""


NO_SHA256 = "0" * 64
"""Stands for the sha256 of a shard that nobody has read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """One tar file. `path` is relative to the dataset's folder, or an absolute URL for an adopted shard.

    `sha256` is `NO_SHA256` where only the headers of an adopted shard were read. `withdrawn` samples more lie in it,
    which no index names any more: until the dataset is compacted.
    """

    path: str
    split: SplitName
    bytes: Count
    samples: Count
    sha256: str
    withdrawn: Count = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexFile:
    """One Parquet file of the index. `path` is relative to the dataset's folder."""

    path: str
    rows: Count
    bytes: Count
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where the bytes came from: enough to pack them again."""

    recipe: str
    parameters: Mapping[str, str | int | float | bool | None]
    software: str
    source: str
    """sha256 over the raw file listing (relative path, size)."""
    source_files: Count
    source_bytes: Count
    namespace: str = ""
    """Datasets with the same one and the same pseudonym key give a person the same pseudonym."""
    leaks: str = ""
    """Why the official split, which was kept, has subjects on both sides."""
    skipped: Mapping[str, int] = field(default_factory=dict)
    """Samples left out, by reason. Empty unless the packer was told to skip."""
    parent: str = ""
    """The version that this one was made of, by withdrawing subjects or by rewriting shards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """An immutable state of a dataset."""

    format: int
    dataset: str
    version: str
    card: Card
    parts: tuple[Part, ...]
    tasks: tuple[Task, ...]
    splits: tuple[Split, ...]
    shards: tuple[Shard, ...]
    index: tuple[IndexFile, ...]
    provenance: Provenance
    withdrawn_subjects: Count = 0

    @property
    def samples(self) -> int:
        """Samples in all splits."""
        return sum(split.samples for split in self.splits)

    @property
    def bytes(self) -> int:
        """Bytes of all shards."""
        return sum(split.bytes for split in self.splits)

    @property
    def labelled(self) -> tuple[Task, ...]:
        """The tasks whose labels are in the index: all but those whose target is a part."""
        return tuple(task for task in self.tasks if not task.target)

    def task(self, task_id: str) -> Task | None:
        """The task of that id, if this dataset has it."""
        return next((task for task in self.tasks if task.id == task_id), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Latest:
    """`<store>/<dataset>/latest.json`: the current version and all before it, oldest first, current included.

    `erased` are versions that were removed because withdrawn subjects were in them; they are never published again.
    """

    version: str
    history: tuple[str, ...]
    erased: tuple[str, ...] = ()


def dumps(stored: Manifest | Latest) -> bytes:
    """Canonical JSON: indented, keys in declaration order, closing newline."""
    return msgspec.json.format(msgspec.json.encode(stored), indent=1) + b"\n"


# Where things lie in a store (relative to its root).


def latest_path(dataset: str) -> str:
    """Path of a dataset's pointer to its current version."""
    return f"{check_dataset(dataset)}/latest.json"


def is_version(name: str) -> bool:
    """Whether a name can be that of a version."""
    return _VERSION.fullmatch(name) is not None


def manifest_path(dataset: str, version: str) -> str:
    """Path of a version's manifest."""
    return f"{check_dataset(dataset)}/{version}/manifest.json"


def withdrawn_path(dataset: str, version: str) -> str:
    """Path of a version's list of who was withdrawn, as digests."""
    return f"{check_dataset(dataset)}/{version}/withdrawn.json"


def object_path(dataset: str, path: str) -> str:
    """Path in the store of what a manifest names by `path`; absolute URLs of adopted shards stay as they are."""
    return path if is_url(path) else f"{check_dataset(dataset)}/{path}"


def is_url(path: str) -> bool:
    """Whether a shard's path is the absolute URL of an adopted shard."""
    return bool(_URL.match(path))
