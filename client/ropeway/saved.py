"""Views with names, as a store keeps them.

    <store>/.views/<id>.json       the view's definition
    <store>/.views/<name>.json     a name: the view's id, tags, and what it holds

Both are written once and never changed: a name means the same for ever.
"""

import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from ropeway import definition
from ropeway.definition import Definition
from ropeway.errors import AlreadyExists, Conflict, FormatError, NotFound, QueryError, UsageError
from ropeway.stores import Store
from ropeway.view import ViewInfo

FOLDER = ".views"

_ID = re.compile(r"[0-9a-f]{16}")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_TAGS, _TAG = 32, 64


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedView:
    """A name of a view.

    Attributes:
        view: the view's id.
        datasets: dataset id → version.
        samples, bytes: as in `ViewInfo`.
    """

    name: str
    view: str
    tags: tuple[str, ...]
    created: datetime
    datasets: Mapping[str, str]
    samples: int
    bytes: int


_DECODER = msgspec.json.Decoder(SavedView)  # once: see `manifest_reading`


def is_id(text: str) -> bool:
    """Whether this is a view's id and not a name."""
    return _ID.fullmatch(text) is not None


def is_name(text: str) -> bool:
    """Whether a view may be saved under this name."""
    return _NAME.fullmatch(text) is not None and not is_id(text)


def check_name(name: str) -> None:
    """Raise UsageError for what is not a name of a view."""
    if not is_name(name):
        raise UsageError(
            f"a view's name has up to 64 lower-case letters, digits, '.', '_' and '-', and is not like an id: {name!r}"
        )


def new_name(info: ViewInfo, name: str, tags: Sequence[str]) -> SavedView:
    """A name for a view, from now on.

    Raises:
        UsageError: not a name, or not tags.
    """
    check_name(name)
    if (
        isinstance(tags, str)
        or len(tags) > _TAGS
        or not all(0 < len(tag) <= _TAG and tag.isprintable() for tag in tags)
    ):
        raise UsageError(f"tags are up to {_TAGS} words of up to {_TAG} printable characters, not {tags!r:.200}")
    return SavedView(
        name=name, view=info.id, tags=tuple(dict.fromkeys(tags)), created=datetime.now(UTC).replace(microsecond=0),
        datasets=info.datasets, samples=info.samples, bytes=info.bytes,
    )  # fmt: skip


def taken(there: SavedView) -> Conflict:
    """The error for a name that is another view's."""
    return Conflict(
        f"the name {there.name!r} is view {there.view}'s since {there.created:%Y-%m-%d} and stays so: take another name"
    )


class StoreViews:
    """The named views of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def save(self, info: ViewInfo, name: str, tags: Sequence[str]) -> SavedView:
        """Give a view a name; see `Catalog.save`."""
        given = new_name(info, name, tags)
        if info.definition is None:
            raise UsageError("how this view was made is not known here: save it where it was made")
        self._create(info.id, msgspec.json.encode(info.definition))
        if self._create(name, msgspec.json.encode(given)):
            return given
        there = self.named(name)
        if there.view != info.id:
            raise taken(there)
        return there

    def all(self) -> list[SavedView]:
        """The names, sorted."""
        names = [stat.path.removeprefix(f"{FOLDER}/").removesuffix(".json") for stat in self._store.objects(FOLDER)]
        with ThreadPoolExecutor(16) as pool:
            return list(pool.map(self.named, [name for name in names if not is_id(name)]))

    def load(self, view_id: str) -> Definition:
        """The definition of a view, by its id or name.

        Raises:
            NotFound: there is none.
        """
        if not is_id(view_id):
            view_id = self.named(view_id).view
        try:
            return definition.loads(self._read(view_id))
        except QueryError as error:
            raise FormatError(str(error), url=self._url(view_id)) from error

    def named(self, name: str) -> SavedView:
        """What a name stands for.

        Raises:
            NotFound: there is none.
        """
        if not _NAME.fullmatch(name):
            raise NotFound(f"no view {name!r}: neither an id of 16 hex digits nor a name", url=self._store.url)
        try:
            return _DECODER.decode(self._read(name))
        except msgspec.MsgspecError as error:
            raise FormatError(f"not a saved view: {error}", url=self._url(name)) from error

    def _read(self, name: str) -> bytes:
        try:
            data, _ = self._store.load(f"{FOLDER}/{name}.json")
        except NotFound as error:
            what = f"view {name}" if is_id(name) else f"view named {name!r}"
            raise NotFound(
                f"no {what} is saved here: `ropeway view save` does that, `ropeway view ls` lists them",
                url=self._store.url,
            ) from error
        return data

    def _create(self, name: str, content: bytes) -> bool:
        try:
            self._store.create(f"{FOLDER}/{name}.json", content)
        except AlreadyExists:
            return False
        return True

    def _url(self, name: str) -> str:
        return f"{self._store.url}/{FOLDER}/{name}.json"
