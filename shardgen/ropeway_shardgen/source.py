"""From a recipe's source to rows: one row of fields per raw sample, in a fixed order."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from ropeway.errors import RopewayError
from ropeway.index import Value
from ropeway_shardgen.adapters import Row
from ropeway_shardgen.fields import Fields, compiled, lookup, text
from ropeway_shardgen.grouping import as_one
from ropeway_shardgen.listing import Listing
from ropeway_shardgen.problems import Problems, SampleError, one_line
from ropeway_shardgen.pseudonyms import pseudonym
from ropeway_shardgen.reading import Reading
from ropeway_shardgen.recipe import Recipe
from ropeway_shardgen.rules import GroupRule
from ropeway_shardgen.tables import table_rows


class RawSample(msgspec.Struct, frozen=True, gc=False):
    """One row of the source.

    Attributes:
        path: the file it was found in, relative to the root.
        number: which row of that file, or None where the file is the sample.
        bytes: about how many its content has packed, if the adapter can tell.
    """

    path: str
    number: int | None
    fields: Fields
    bytes: int | None = None

    @property
    def place(self) -> str:
        """Where to look for it."""
        return self.path if self.number is None else f"row {self.number} of {self.path}"


def raw_samples(recipe: Recipe, listing: Listing, problems: Problems, secret: bytes) -> Iterator[RawSample]:
    """The rows of a recipe's source, grouped where it says so.

    Raises:
        SourceError: a table or every file of a pattern is missing, or a table is not one.
    """
    group = recipe.source.group
    found = _ungrouped(recipe, listing, problems, secret)
    return _grouped(group, found, problems) if group else found


def _ungrouped(recipe: Recipe, listing: Listing, problems: Problems, secret: bytes) -> Iterator[RawSample]:
    if recipe.source.tables != ("",):
        for path, number, fields in table_rows(recipe.source, listing, problems):
            yield RawSample(path, number, fields)
        return
    for path in sorted(_paths(recipe, listing, problems)):
        try:
            listing.add(path)
            yield from _file(recipe, listing, path, secret)
        except SampleError as error:
            problems.add(error)


def _paths(recipe: Recipe, listing: Listing, problems: Problems) -> set[str]:
    source = recipe.source
    paths: set[str] = set()
    for pattern in source.files or source.folders:
        try:
            paths.update(listing.glob(pattern, folders=bool(source.folders)))
        except SampleError as error:
            problems.add(error)
    return paths


def _grouped(group: GroupRule, rows: Iterator[RawSample], problems: Problems) -> Iterator[RawSample]:
    """One raw sample per group, where the first of its rows was; all rows are held."""
    groups: dict[tuple[Value, ...], list[RawSample]] = {}
    for raw in rows:
        try:
            groups.setdefault(tuple(lookup(raw.fields, name) for name in group.by), []).append(raw)
        except SampleError as error:
            problems.add(error)
    for own in groups.values():
        try:
            fields = as_one([raw.fields for raw in own], group.collect)
        except SampleError as error:
            problems.add(SampleError(f"{error.args[0]} ({own[0].place})", reason=error.reason))
            continue
        yield RawSample(own[0].path, own[0].number, fields, own[0].bytes)


def _file(recipe: Recipe, listing: Listing, path: str, secret: bytes) -> Iterator[RawSample]:
    folder, _, name = path.rpartition("/")
    stem = name.partition(".")[0] or name
    fields: dict[str, Value] = {"path": path, "name": name, "stem": stem, "folder": folder or "."}
    if recipe.source.pattern:
        match = compiled(recipe.source.pattern).search(path)
        if match is None:
            raise SampleError(f"file name {path} does not match the pattern {recipe.source.pattern!r}")
        fields |= match.groupdict()
    if recipe.lister is None:
        yield RawSample(path, None, fields)
        return
    adapter, options = recipe.lister
    listing.add_companions(path, adapter, options)
    for number, row in enumerate(_listed(recipe, listing.root / path, path), 1):
        found = {**row.fields, **_pseudonyms(recipe, row.fields, secret)}
        yield RawSample(path, number, {**found, **fields}, row.bytes)


def _listed(recipe: Recipe, file: Path, path: str) -> Iterator[Row]:
    assert recipe.lister is not None
    adapter, options = recipe.lister
    assert adapter.rows is not None
    rows = adapter.rows(file, options)
    try:
        while True:
            with Reading(path):
                row = next(rows, None)
            if row is None:
                return
            yield row
    except RopewayError:
        raise
    except Exception as error:
        raise SampleError(f"{path} cannot be read: {one_line(error)}", reason="unreadable file") from error


def _pseudonyms(recipe: Recipe, fields: Fields, secret: bytes) -> dict[str, Value]:
    """Raw identifiers are replaced before any rule of a recipe can see them."""
    assert recipe.lister is not None
    found: dict[str, Value] = {}
    for kind in recipe.lister[0].identifiers:
        raw = text(fields.get(kind))
        found[kind] = pseudonym(raw, namespace=recipe.namespace, kind=kind, secret=secret) if raw else None
    return found
