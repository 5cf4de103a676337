"""Manifests read, with full validation at the door: what is past it is complete, and does not contradict itself."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from ropeway.errors import FormatError
from ropeway.keys import check_dataset, check_part, check_task
from ropeway.manifest import FORMAT, Latest, Manifest, Split, Task, is_url, is_version

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class _Head:
    format: int


# Made once, here: msgspec looks into a class when it is first decoded to, and threads that do so at once crash it.
_HEAD, _MANIFEST, _LATEST = msgspec.json.Decoder(_Head), msgspec.json.Decoder(Manifest), msgspec.json.Decoder(Latest)


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
    for version in (*latest.history, *latest.erased):
        if not is_version(version):
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
