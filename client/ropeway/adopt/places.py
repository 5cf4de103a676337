"""Which shards a pattern means: local globs, brace ranges, and URLs of objects, listed with their sizes."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import unquote

from braceexpand import braceexpand

from ropeway.errors import NotFound, UsageError
from ropeway.manifest import SplitName
from ropeway.ranges import Counters, RangeClient
from ropeway.stores import open_store

_GLOB = re.compile(r"[*?\[]")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://")
_PACKED = (".gz", ".tgz", ".bz2", ".xz", ".zst")
_AT_ONCE = 16
"""Objects asked for their size at a time."""
_NAMED = 5
"""Missing shards told by name."""


@dataclass(frozen=True, slots=True)
class Place:
    """One shard: its absolute URL, its size in bytes, its split, and a tag that changes with its content.

    The tag is empty where a plain web server says none.
    """

    url: str
    split: SplitName
    bytes: int
    tag: str

    @property
    def name(self) -> str:
        """Its file name without `.tar`."""
        return shard_name(self.url)


def shard_name(url: str) -> str:
    """The file name of a shard, without `.tar`."""
    return url.rpartition("/")[2].removesuffix(".tar")


def find(patterns: Mapping[SplitName, Iterable[str]]) -> list[Place]:
    """The shards of some patterns, in the patterns' order; what a glob finds is sorted.

    Raises:
        UsageError: a pattern matches nothing, a shard is there twice, or is a compressed archive.
        NotFound: shards are not there; how many, and the first of them.
        StoreError: the store can't be read.
    """
    wanted: list[tuple[SplitName, str]] = []
    for split, given in patterns.items():
        for one in (each for pattern in given for each in _expanded(pattern)):
            wanted.extend((split, url) for url in _urls(one))
    twice = [url for url, count in Counter(url for _, url in wanted).items() if count > 1]
    if twice:
        raise UsageError("the patterns name a shard twice", url=twice[0])
    for _, url in wanted:
        if url.lower().endswith(_PACKED):
            raise UsageError("a compressed tar has no byte ranges to read samples by: unpack it (gunzip), then adopt "
                             "the plain .tar", url=url)  # fmt: skip
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = list(pool.map(lambda one: _place(*one), wanted))
    _check_there([one for one in found if isinstance(one, NotFound)], len(wanted))
    return [one for one in found if isinstance(one, Place)]


def _check_there(missing: Sequence[NotFound], wanted: int) -> None:
    if len(missing) == 1:
        raise missing[0]
    if missing:
        first = ", ".join(str(error.url).rpartition("/")[2] for error in missing[:_NAMED])
        more = ", …" if len(missing) > _NAMED else ""
        raise NotFound(f"{len(missing)} of {wanted} shards are not there: {first}{more}", url=missing[0].url)


def _expanded(pattern: str) -> list[str]:
    """`{000..002}` and `{a,b}` written out, as shells and the webdataset library do."""
    try:
        return list(braceexpand(pattern))
    except ValueError as error:
        raise UsageError(f"braces do not pair up in the pattern {pattern!r}") from error


def _urls(pattern: str) -> list[str]:
    """The absolute URLs of one pattern without braces."""
    if not _SCHEME.match(pattern):
        return _files(Path(pattern).expanduser().absolute(), pattern)
    if pattern.startswith("file://"):
        return _files(_local(pattern), pattern)
    if pattern.startswith(("http://", "https://")) and "?" in pattern:
        raise UsageError("a URL with a query can't be kept: what signs it ends, or is a secret (a glob is not possible "
                         "over http: write {000..999})", url=pattern.partition("?")[0])  # fmt: skip
    if not _GLOB.search(pattern):
        return [pattern]
    root, _, name = pattern.rpartition("/")
    if pattern.startswith(("http://", "https://")) or _GLOB.search(root):
        raise UsageError("only the last part of an object store's URL may hold * or ?: write {000..999} instead",
                         url=pattern)  # fmt: skip
    found = [stat.path for stat in open_store(root).objects() if "/" not in stat.path and fnmatchcase(stat.path, name)]
    if not found:
        raise UsageError("no object matches the pattern", url=pattern)
    return [f"{root}/{path}" for path in found]


def _files(path: Path, pattern: str) -> list[str]:
    if not _GLOB.search(str(path)):
        return [path.as_uri()]
    found = sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))
    if not found:
        raise UsageError(f"no file matches the pattern {pattern!r}")
    return [one.as_uri() for one in found]


def _local(url: str) -> Path:
    return Path(unquote(url.removeprefix("file://").removeprefix("localhost")))


def _place(split: SplitName, url: str) -> Place | NotFound:
    """A shard, or that it is not there: who names a range wants to know of all that are not."""
    try:
        return _found(split, url)
    except NotFound as error:
        return error


def _found(split: SplitName, url: str) -> Place:
    if url.startswith(("http://", "https://")):
        return Place(url, split, RangeClient().size(lambda _: url, Counters()), "")
    root, _, name = url.rpartition("/")
    if url.startswith("file://"):
        root, name = str(_local(url).parent), _local(url).name
    found = open_store(root).stat(name)
    return Place(url, split, found.size, found.tag)
