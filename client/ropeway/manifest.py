"""What a dataset version holds: the manifest, and where in a store it and its objects lie.

Frozen dataclasses, read with full validation at the door (`loads`) and written canonically (`dumps`): equal manifests
are equal bytes. A manifest is written last and only if absent, so its presence is what publishes a version.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal, TypeAlias

import msgspec

from ropeway.errors import FormatError
from ropeway.keys import check_dataset, check_part, check_task

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
_SHA256 = re.compile(r"[0-9a-f]{64}")
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

    `sha256` is `NO_SHA256` where only the headers of an adopted shard were read.
    """

    path: str
    split: SplitName
    bytes: Count
    samples: Count
    sha256: str


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
    """`<store>/<dataset>/latest.json`: the current version and all before it, oldest first, current included."""

    version: str
    history: tuple[str, ...]


def dumps(stored: Manifest | Latest) -> bytes:
    """Canonical JSON: indented, keys in declaration order, closing newline."""
    return msgspec.json.format(msgspec.json.encode(stored), indent=1) + b"\n"


def loads(data: bytes, *, url: str | None = None) -> Manifest:
    """Read and validate a manifest.

    Raises:
        FormatError: not a manifest of a known format, or its numbers and names contradict each other.
    """
    try:
        head = _HEAD.decode(data)
        if head.format != FORMAT:
            newer = f"newer than {FORMAT}: upgrade ropeway" if head.format > FORMAT else "none there ever was"
            raise FormatError(f"storage format {head.format} is {newer}", url=url)
        manifest = _MANIFEST.decode(data)
    except msgspec.MsgspecError as error:
        raise FormatError(f"not a manifest: {error}", url=url) from error
    try:
        check(manifest)
    except FormatError as error:
        error.url = url
        raise
    return manifest


def loads_latest(data: bytes, *, url: str | None = None) -> Latest:
    """Read and validate `latest.json`."""
    try:
        latest = _LATEST.decode(data)
    except msgspec.MsgspecError as error:
        raise FormatError(f"not a latest.json: {error}", url=url) from error
    for version in latest.history:
        if not _VERSION.fullmatch(version):
            raise FormatError(f"latest.json has a history with {version!r}, which is no version", url=url)
    if latest.version not in latest.history:
        raise FormatError(f"latest.json names a version that is not in its history: {latest.version!r}", url=url)
    return latest


def check(manifest: Manifest) -> None:
    """Raise FormatError when a manifest contradicts itself."""
    check_dataset(manifest.dataset)
    if not is_version(manifest.version):
        raise FormatError(f"not a version: {manifest.version!r} (12 hex digits)", dataset=manifest.dataset)
    for part in manifest.parts:
        check_part(part.name)
    _check_paths(manifest)
    _check_unique("part", (part.name for part in manifest.parts), manifest)
    _check_unique("task", (task.id for task in manifest.tasks), manifest)
    _check_unique("split", (split.name for split in manifest.splits), manifest)
    _check_unique("shard", (shard.path for shard in manifest.shards), manifest)
    _check_unique("index file", (file.path for file in manifest.index), manifest)
    for task in manifest.tasks:
        _check_task(task, manifest)
    _check_shards(manifest)
    _check_index_sums(manifest)
    for split in manifest.splits:
        _check_split(split, manifest)
    _check_samples(manifest)


def _check_paths(manifest: Manifest) -> None:
    shards = [shard.path for shard in manifest.shards if not is_url(shard.path)]
    for path in [*shards, *(file.path for file in manifest.index)]:
        if not path or {"", ".", ".."} & set(path.split("/")):
            raise FormatError(f"not a path in the dataset's folder: {path!r}", dataset=manifest.dataset)


def _check_unique(what: str, names: Iterable[str], manifest: Manifest) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise FormatError(f"{what} {twice[0]!r} is there twice", dataset=manifest.dataset)


def _check_task(task: Task, manifest: Manifest) -> None:
    check_task(task.id)
    _check_unique(f"class of task {task.id}", task.classes, manifest)
    count = len(task.classes)
    right = {"binary": count == 2, "multiclass": count > 0, "multilabel": count > 0, "regression": count == 0}
    if not right.get(task.type, True):
        classes = ", ".join(task.classes) or "no classes"
        raise FormatError(f"task {task.id} is {task.type} with {classes}", dataset=manifest.dataset)
    if task.type not in right and not task.target:
        raise FormatError(f"task {task.id} is {task.type} and names no part as its target", dataset=manifest.dataset)
    if task.target and task.target not in {part.name for part in manifest.parts}:
        raise FormatError(f"task {task.id}: there is no part {task.target!r}", dataset=manifest.dataset)


def _check_shards(manifest: Manifest) -> None:
    splits = {split.name for split in manifest.splits}
    for shard in manifest.shards:
        if not _SHA256.fullmatch(shard.sha256):
            raise FormatError("sha256 is not 64 hex digits", dataset=manifest.dataset, shard=shard.path)
        if shard.split not in splits:
            raise FormatError(
                f"shard of a split that is not listed: {shard.split}", dataset=manifest.dataset, shard=shard.path
            )


def _check_index_sums(manifest: Manifest) -> None:
    for file in manifest.index:
        if not _SHA256.fullmatch(file.sha256):
            raise FormatError(f"sha256 of {file.path} is not 64 hex digits", dataset=manifest.dataset)


def _check_split(split: Split, manifest: Manifest) -> None:
    if split.subjects > split.samples:
        raise FormatError(
            f"split {split.name} has {split.subjects} subjects in {split.samples} samples", dataset=manifest.dataset
        )
    shards = [shard for shard in manifest.shards if shard.split == split.name]
    totals = (sum(shard.samples for shard in shards), sum(shard.bytes for shard in shards), len(shards))
    if totals != (split.samples, split.bytes, split.shards):
        raise FormatError(
            f"split {split.name} says {split.samples} samples, {split.bytes} bytes, {split.shards} shards; "
            f"its shards add up to {totals[0]}, {totals[1]}, {totals[2]}",
            dataset=manifest.dataset,
        )


def _check_samples(manifest: Manifest) -> None:
    """The samples of the index, and of each part, against those of all splits."""
    if sum(file.rows for file in manifest.index) != manifest.samples:
        raise FormatError("the index files do not have one row per sample", dataset=manifest.dataset)
    for part in manifest.parts:
        if part.samples > manifest.samples:
            raise FormatError(
                f"part {part.name} is in {part.samples} samples of {manifest.samples}", dataset=manifest.dataset
            )


@dataclass(frozen=True, slots=True)
class _Head:
    format: int


# Made once, here: msgspec looks into a class when it is first decoded to, and threads that do so at once crash it.
_HEAD, _MANIFEST, _LATEST = msgspec.json.Decoder(_Head), msgspec.json.Decoder(Manifest), msgspec.json.Decoder(Latest)


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


def object_path(dataset: str, path: str) -> str:
    """Path in the store of what a manifest names by `path`; absolute URLs of adopted shards stay as they are."""
    return path if is_url(path) else f"{check_dataset(dataset)}/{path}"


def is_url(path: str) -> bool:
    """Whether a shard's path is the absolute URL of an adopted shard."""
    return bool(_URL.match(path))
