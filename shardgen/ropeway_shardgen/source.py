"""From a recipe's source to rows: one row of fields per raw sample, in a fixed order."""

import csv
import gzip
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ropeway.errors import RopewayError, SourceError
from ropeway.index import Value
from ropeway_shardgen.adapters import Row
from ropeway_shardgen.fields import Fields, compiled, text
from ropeway_shardgen.listing import Listing
from ropeway_shardgen.problems import Problems, SampleError
from ropeway_shardgen.pseudonyms import pseudonym
from ropeway_shardgen.recipe import Recipe

_LONGEST_CELL = 1 << 24
"""Characters. The csv module's own limit is lower than some report texts are long."""


@dataclass(frozen=True, slots=True)
class RawSample:
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
    """The rows of a recipe's source.

    Raises:
        SourceError: a table or every file of a pattern is missing, or a table is not one.
    """
    if recipe.source.table:
        yield from _table(recipe, listing, problems)
        return
    paths: set[str] = set()
    for pattern in recipe.source.files:
        try:
            paths.update(listing.glob(pattern))
        except SampleError as error:
            problems.add(error)
    for path in sorted(paths):
        try:
            listing.add(path)
            yield from _file(recipe, listing.root, path, secret)
        except SampleError as error:
            problems.add(error)


def _table(recipe: Recipe, listing: Listing, problems: Problems) -> Iterator[RawSample]:
    source = recipe.source
    try:
        listing.add(source.table)
    except SampleError as error:
        raise SourceError(str(error), dataset=recipe.id) from error
    plain = source.table.removesuffix(".gz")
    delimiter = source.delimiter or ("\t" if plain.endswith(".tsv") else ",")
    csv.field_size_limit(_LONGEST_CELL)
    try:
        with _open(listing.root / source.table, source.encoding) as file:
            rows = csv.reader(file, delimiter=delimiter, strict=True)
            columns = _header(next(rows, []), recipe)
            for number, cells in enumerate((cells for cells in rows if cells), 1):
                if len(cells) != len(columns):
                    place = f"row {number} of {source.table}"
                    problems.add(SampleError(f"{place} has {len(cells)} cells, the header {len(columns)}"))
                    continue
                values: dict[str, Value] = {
                    name: None if cell in source.missing else cell for name, cell in zip(columns, cells, strict=True)
                }
                yield RawSample(source.table, number, {**values, "row": number})
    except (OSError, EOFError, UnicodeError, csv.Error, LookupError) as error:
        raise SourceError(f"table {source.table} cannot be read: {error}", dataset=recipe.id) from error


def _header(columns: list[str], recipe: Recipe) -> list[str]:
    names = [name.strip() or f"column{number}" for number, name in enumerate(columns)]
    if not names or len(set(names)) != len(names):
        raise SourceError(f"table {recipe.source.table} has no header, or one with a name twice", dataset=recipe.id)
    return names


def _open(path: Path, encoding: str) -> io.TextIOWrapper:
    if path.suffix == ".gz":
        return io.TextIOWrapper(gzip.open(path, "rb"), encoding=encoding, newline="")
    return path.open(encoding=encoding, newline="")


def _file(recipe: Recipe, root: Path, path: str, secret: bytes) -> Iterator[RawSample]:
    name = path.rpartition("/")[2]
    fields: dict[str, Value] = {"path": path, "name": name, "stem": name.partition(".")[0] or name}
    if recipe.source.pattern:
        match = compiled(recipe.source.pattern).search(path)
        if match is None:
            raise SampleError(f"file name {path} does not match the pattern {recipe.source.pattern!r}")
        fields |= match.groupdict()
    if recipe.lister is None:
        yield RawSample(path, None, fields)
        return
    for number, row in enumerate(_listed(recipe, root / path, path), 1):
        found = {**row.fields, **_pseudonyms(recipe, row.fields, secret)}
        yield RawSample(path, number, {**found, **fields}, row.bytes)


def _listed(recipe: Recipe, file: Path, path: str) -> Iterator[Row]:
    assert recipe.lister is not None
    adapter, options = recipe.lister
    assert adapter.rows is not None
    try:
        yield from adapter.rows(file, options)
    except RopewayError:
        raise
    except Exception as error:
        raise SampleError(f"{path} cannot be read: {one_line(error)}", reason="unreadable file") from error


def _pseudonyms(recipe: Recipe, fields: Fields, secret: bytes) -> dict[str, Value]:
    """Raw identifiers are replaced before any rule of a recipe can see them."""
    assert recipe.lister is not None
    namespace = (recipe.subject.namespace if recipe.subject else "") or recipe.id
    found: dict[str, Value] = {}
    for kind in recipe.lister[0].identifiers:
        raw = text(fields.get(kind))
        found[kind] = pseudonym(raw, namespace=namespace, kind=kind, secret=secret) if raw else None
    return found


def one_line(error: BaseException) -> str:
    """The first line of an error's message, or its name."""
    words: Any = re.sub(r"\s+", " ", str(error).strip().partition("\n")[0])
    return f"{words}" if words else type(error).__name__
