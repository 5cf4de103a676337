"""Fields: what is known of a raw sample before its content is read, and the small rules that derive more of them.

A field is a name and a value: a table's column, a named group of a file name, an entry of a file's header. Templates
such as `"{patient}/{image:05}"` make keys, subjects and file paths of them.
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TypeAlias

from ropeway.index import Value
from ropeway_shardgen.problems import SampleError

Fields: TypeAlias = Mapping[str, Value]

_HOLE = re.compile(r"\{([^{}:]+)(?::0(\d+))?\}")


def text(value: Value) -> str | None:
    """A value as recipes write it: None stays None, `true`/`false`, numbers in their shortest form."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value)


def lookup(fields: Fields, name: str) -> Value:
    """The value of a field.

    Raises:
        SampleError: there is no such field; the message lists those there are.
    """
    try:
        return fields[name]
    except KeyError:
        raise SampleError(
            f"there is no field {name!r}; there is: {', '.join(fields) or 'none'}", reason="missing field"
        ) from None


def holes(template: str) -> list[str]:
    """Names of the fields that a template needs.

    Raises:
        ValueError: braces that are not `{field}` or `{field:05}`.
    """
    rest = _HOLE.sub("", template)
    if "{" in rest or "}" in rest:
        raise ValueError(f"not a template: {template!r} (write {{field}}, or {{field:05}} to fill up with zeros)")
    return [match[1] for match in _HOLE.finditer(template)]


def fill(template: str, fields: Fields) -> str:
    """A template with its fields filled in.

    Raises:
        SampleError: a field is not there or empty.
    """
    filled, cut = _cut(template)
    for name, width, literal in cut:
        found = text(lookup(fields, name))
        if not found:
            raise SampleError(f"field {name!r} is empty, and {template!r} needs it", reason="missing value")
        filled += (found.zfill(width) if width else found) + literal
    return filled


@lru_cache(maxsize=256)
def _cut(template: str) -> tuple[str, list[tuple[str, int, str]]]:
    """What stands before a template's first hole; of each hole its field, how wide it is to be, and what follows."""
    first, *pieces = _HOLE.split(template)
    holes = zip(pieces[::3], pieces[1::3], pieces[2::3], strict=True)
    return first, [(name, int(width or 0), literal) for name, width, literal in holes]


class Merged(Mapping[str, Value]):
    """Several rows as one: what they agree on, and what rules made of the rest."""

    def __init__(self, values: Fields, differing: frozenset[str], rows: int) -> None:
        self._values, self._differing, self._rows = values, differing, rows

    def __getitem__(self, name: str) -> Value:
        if name in self._differing:
            raise SampleError(
                f"column {name!r} differs between the {self._rows} rows of one sample: "
                "say under `collect` what to make of it",
                reason="rows that differ",
            )
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter([*self._values, *sorted(self._differing)])

    def __len__(self) -> int:
        return len(self._values) + len(self._differing)


def matches(fields: Fields, where: Mapping[str, tuple[str, ...]]) -> bool:
    """Whether every field named in `where` has one of the values given for it."""
    return not where or all(text(lookup(fields, name)) in values for name, values in where.items())


@lru_cache(maxsize=256)
def compiled(pattern: str) -> re.Pattern[str]:
    """A regular expression, compiled once."""
    return re.compile(pattern)
