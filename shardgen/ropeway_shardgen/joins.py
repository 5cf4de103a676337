"""Joined tables: read once, then looked up for every sample."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

from ropeway.index import Value
from ropeway_shardgen.fields import Fields, fill, text
from ropeway_shardgen.grouping import as_one
from ropeway_shardgen.listing import Listing
from ropeway_shardgen.problems import Problems, SampleError
from ropeway_shardgen.rules import JoinRule
from ropeway_shardgen.tables import table_rows

Key: TypeAlias = tuple[str, ...]


class Join:
    """One joined table in memory: only the columns that the recipe uses."""

    def __init__(self, name: str, rule: JoinRule, rows: Iterable[Fields], used: frozenset[str]) -> None:
        self.name, self.rule = name, rule
        self._rows: dict[Key, list[Fields]] = {}
        self._columns: tuple[str, ...] = ()
        self._hits, self._misses = 0, 0
        for row in rows:
            if not self._columns:
                self._columns = tuple(column for column in row if column in used)
            self._check(row)
            key = tuple(text(row[column]) or "" for column in rule.on)
            self._rows.setdefault(key, []).append({column: row[column] for column in self._columns})

    def row(self, fields: Fields) -> Fields:
        """What the table says of a sample.

        Raises:
            SampleError: it has no row for it, or several that differ.
        """
        key = self._key(fields)
        found: Sequence[Fields] = self._rows.get(key, ()) if key else ()
        if found:
            self._hits += 1
            return as_one(found, self.rule.collect)
        self._misses += 1
        if not self.rule.optional:
            told = ", ".join(f"{column} {value!r}" for column, value in zip(self.rule.on, key or (), strict=False))
            raise SampleError(
                f"no row in {' or '.join(self.rule.tables)} for {told or 'an empty field'}", reason="no row"
            )
        nothing: dict[str, Value] = dict.fromkeys(self._columns)
        return nothing

    @property
    def beside(self) -> bool:
        """Whether the table says nothing of any sample that asked, though it has rows: its keys are not theirs."""
        return bool(self._rows) and bool(self._misses) and not self._hits

    def _key(self, fields: Fields) -> Key | None:
        try:
            return tuple(fill(template, fields) for template in self.rule.on.values())
        except SampleError as error:
            if error.reason != "missing value":
                raise
            return None

    def _check(self, row: Fields) -> None:
        lacking = [column for column in (*self.rule.on, *self._columns) if column not in row]
        if lacking:
            raise SampleError(
                f"joins.{self.name}: there is no column {lacking[0]!r}; there is: {', '.join(row)}",
                reason="missing field",
            )


def read_joins(
    rules: Mapping[str, JoinRule], used: Callable[[str], frozenset[str]], listing: Listing, problems: Problems
) -> dict[str, Join]:
    """Read the joined tables; `used` gives the columns of a join that the recipe needs.

    Raises:
        SourceError: a table is missing or is not one.
        SampleError: a table lacks a column that joins it.
    """
    return {
        name: Join(name, rule, (row for _, _, row in table_rows(rule, listing, problems)), used(name))
        for name, rule in rules.items()
    }
