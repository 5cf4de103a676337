"""The tree of a mount: which folder or file a path is. Nothing of it is built; every path is looked up in the index.

    manifest.json                                           what is mounted, with the manifests of its datasets
    samples/<dataset>/<split>/<key>.<part>.<format>         the members of the shards
    by-label/<task>/<class>/<dataset>/<split>/…             the same, by what the samples are labelled with
    by-subject/<dataset>/<subject>/…                        the same, by patient
    shards/<dataset>/<version>/<name>.tar                   the tars themselves
    tables/<dataset>.parquet                                one row per sample

Slashes in keys make folders. Percent-escapes in keys stay as they are stored.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import wait
from functools import cached_property

import msgspec
import pyarrow as pa

from ropeway.cache import DiskCache
from ropeway.errors import NotFound
from ropeway.manifest import Manifest, Task
from ropeway.mount.held import File, Spooled, Text
from ropeway.mount.kept import Kept
from ropeway.mount.listing import Files, Folder, Names, SampleFolder
from ropeway.mount.names import from_folder_name
from ropeway.mount.packed import PackedSamples
from ropeway.mount.sorted_keys import SortedKeys
from ropeway.mount.source import Source
from ropeway.mount.stretches import Stretches
from ropeway.mount.tables import write_table
from ropeway.mount.threads import Threads

_ABOUT = "manifest.json"

_LOADERS = 2
"""Indexes read at once."""


class Tree:
    """What there is at each path.

    Args:
        source: what is mounted.
        stretches: how shards are read.
        cache: where ranges of them are kept on this node's disk.
        deadline: seconds that a look-up waits for an index.
    """

    def __init__(self, source: Source, stretches: Stretches, cache: DiskCache | None, deadline: float) -> None:
        self._source, self._stretches, self._cache = source, stretches, cache
        self._loaders: Threads[PackedSamples] = Threads(_LOADERS, deadline)
        self._writers: Threads[Spooled] = Threads(1, deadline)
        self._packed = Kept(self._load, self._loaders)
        self._tables = Kept(self._write_table, self._writers)
        self._tops: Mapping[str, Callable[[Sequence[str]], Folder | File]] = {
            "by-label": self._by_label, "by-subject": self._by_subject, "samples": self._by_split,
            "shards": self._shards, "tables": self._table,
        }  # fmt: skip

    def warm(self, seconds: float) -> None:
        """Read all indexes, so that the first look-ups find them there; go on with it alone after so many seconds."""
        wait([self._packed.begin(dataset) for dataset in self._source.manifests], seconds)

    def close(self) -> None:
        """Fail whatever is waited for, now."""
        for waited in (self._loaders, self._writers, self._stretches):
            waited.close()

    def find(self, path: str) -> Folder | File:
        """The folder or file at an absolute path.

        Raises:
            NotFound: there is none.
            RopewayError: an index that says so can't be read, or not in time.
        """
        if path == "/":
            return Files([*(f"{name}/" for name in self._tops), _ABOUT])
        top, *rest = path.removeprefix("/").split("/")
        if top in self._tops:
            return self._tops[top](rest)
        if top != _ABOUT or rest:
            raise _missing()
        return self._about

    @cached_property
    def _about(self) -> Text:
        source = self._source
        told = {"source": source.url, "view": source.view, "datasets": source.manifests}
        return Text(msgspec.json.format(msgspec.json.encode(told), indent=1) + b"\n")

    def _by_split(self, rest: Sequence[str]) -> Folder | File:
        match rest:
            case []:
                return Names(list(self._source.manifests))
            case [dataset]:
                return Names(self._dataset(dataset).splits)
            case [dataset, split, *inside]:
                packed = self._dataset(dataset)
                return _within(packed, packed.of_split(split), inside)
        raise _missing()

    def _by_label(self, rest: Sequence[str]) -> Folder | File:
        match rest:
            case []:
                tasks = {task.id for manifest in self._source.manifests.values() for task in _classed(manifest)}
                return Names(sorted(tasks))
            case [task]:
                classes = [name for packed, task_there in self._having(task) for name in packed.classes(task_there)]
                return Names(list(dict.fromkeys(classes)))
            case [task, name]:
                datasets = [packed.manifest.dataset for packed, found in self._having(task)
                            if from_folder_name(name) in packed.classes(found)]  # fmt: skip
                return _some(datasets)
            case [task, name, dataset, *inside]:
                packed = self._dataset(dataset)
                found = next((one for one in _classed(packed.manifest) if one.id == task), None)
                label = from_folder_name(name)
                if found is None or label not in found.classes:
                    raise _missing()
                number = found.classes.index(label)
                if not inside:
                    return _some([split for split in packed.splits if len(packed.of_class(task, number, split))])
                if inside[0] not in packed.splits:
                    raise _missing()
                return _within(packed, packed.of_class(task, number, inside[0]), inside[1:])
        raise _missing()

    def _by_subject(self, rest: Sequence[str]) -> Folder | File:
        match rest:
            case []:
                return Names(list(self._source.manifests))
            case [dataset]:
                return Names(self._dataset(dataset).subjects)
            case [dataset, name, *inside]:
                packed, subject = self._dataset(dataset), from_folder_name(name)
                return _within(packed, None if subject is None else packed.of_subject(subject), inside)
        raise _missing()

    def _shards(self, rest: Sequence[str]) -> Folder | File:
        if not rest:
            return Names(list(self._source.manifests))
        packed, path = self._dataset(rest[0]), "/".join(rest[1:])
        paths = packed.shard_paths
        if path in paths:
            return packed.shard(paths[path])
        below = [one.removeprefix(f"{path}/") for one in paths if not path or one.startswith(f"{path}/")]
        if not below:
            raise _missing()
        return Files(below)

    def _table(self, rest: Sequence[str]) -> Folder | File:
        match rest:
            case []:
                return Files([f"{dataset}.parquet" for dataset in self._source.manifests])
            case [name] if name.endswith(".parquet") and name.removesuffix(".parquet") in self._source.manifests:
                return self._tables.get(name.removesuffix(".parquet"))
        raise _missing()

    def _dataset(self, name: str) -> PackedSamples:
        if name not in self._source.manifests:
            raise _missing()
        return self._packed.get(name)

    def _having(self, task: str) -> list[tuple[PackedSamples, Task]]:
        """The datasets that have a task with classes, and what each says of it."""
        found = [(manifest.dataset, one) for manifest in self._source.manifests.values() for one in _classed(manifest)
                 if one.id == task]  # fmt: skip
        if not found:
            raise _missing()
        return [(self._dataset(dataset), one) for dataset, one in found]

    def _load(self, dataset: str) -> PackedSamples:
        source = self._source
        packed = PackedSamples.of(source.open(dataset), source.manifests[dataset], self._stretches, self._cache)
        pa.default_memory_pool().release_unused()  # the index as it was read is larger than what is kept of it
        return packed

    def _write_table(self, dataset: str) -> Spooled:
        packed = self._dataset(dataset)
        return write_table(self._source, packed, {number: f"shards/{dataset}/{path}"
                                                  for path, number in packed.shard_paths.items()})  # fmt: skip


def _within(packed: PackedSamples, keys: SortedKeys | None, inside: Sequence[str]) -> Folder | File:
    """What is at a path among some samples, or all of them."""
    if keys is None:
        raise _missing()
    if not inside:
        return SampleFolder(packed, keys)
    path = "/".join(inside)
    file = packed.file(keys, path)
    if file is not None:
        return file
    folder = f"{path}/".encode(errors="surrogateescape")
    if not keys.within(folder):
        raise _missing()
    return SampleFolder(packed, keys, folder)


def _classed(manifest: Manifest) -> list[Task]:
    return [task for task in manifest.labelled if task.classes]


def _some(names: list[str]) -> Names:
    if not names:
        raise _missing()
    return Names(names)


def _missing() -> NotFound:
    return NotFound("no such file or folder in the mount")
