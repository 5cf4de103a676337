"""What a folder lists, page by page: names in an order in which each one's cursor says where to go on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from ropeway.mount.names import folder_name
from ropeway.mount.packed import PackedSamples
from ropeway.mount.sorted_keys import SortedKeys

_LOOK = 256
"""Samples whose formats are looked up together, where the manifest doesn't say them."""


class Entry(NamedTuple):
    """One name in a folder; `cursor`, above zero, says where to go on after it."""

    name: str
    is_folder: bool
    cursor: int


@dataclass(frozen=True, slots=True)
class Names:
    """A folder of folders, whose texts are escaped where they do not fit in file names."""

    texts: Sequence[str] | SortedKeys

    def entries(self, cursor: int = 0) -> Iterator[Entry]:
        for number in range(cursor, len(self.texts)):
            yield Entry(folder_name(self.texts[number]), True, number + 1)


@dataclass(frozen=True, slots=True)
class Files:
    """A folder of files, or where a name is a path, of folders of them."""

    paths: Sequence[str]
    """Sorted, relative to it."""

    def entries(self, cursor: int = 0) -> Iterator[Entry]:
        seen = ""
        for number in range(len(self.paths)):
            name, slash, _ = self.paths[number].partition("/")
            if number >= cursor and name != seen:
                yield Entry(name, bool(slash), number + 1)
            seen = name


@dataclass(frozen=True, slots=True)
class SampleFolder:
    """The samples of a dataset whose keys begin with a folder's name: their parts are files, deeper ones folders.

    A cursor is place · (parts + 1) + the next part's number. To go on takes a bisection, wherever that is.
    """

    packed: PackedSamples
    keys: SortedKeys
    folder: bytes = b""

    def entries(self, cursor: int = 0) -> Iterator[Entry]:
        parts = len(self.packed.parts)
        places = self.keys.within(self.folder)
        place, part = divmod(cursor, parts + 1)
        if place < places.start:
            place, part = places.start, 0
        learned = place
        while place < places.stop:
            name, slash, _ = self.keys.key(place)[len(self.folder) :].partition(b"/")
            if slash:
                place = self.keys.within(self.folder + name + slash).stop
                yield Entry(name.decode(), True, place * (parts + 1))
            else:
                row = int(self.keys.rows[place])
                if place >= learned:
                    learned = min(place + _LOOK, places.stop)
                    self.packed.formats.learn(self.keys.rows[place:learned])
                for number, file in self.packed.files(row, name.decode(), part):
                    yield Entry(file, False, place * (parts + 1) + number + 1)
                place += 1
            part = 0


Folder: TypeAlias = Names | Files | SampleFolder
"""`entries(cursor)` are its names, or those after a cursor: the same in the same order, whenever it is listed."""
