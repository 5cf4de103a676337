"""Answers queries from Parquet indexes with DuckDB: the one query engine, in-process and behind the service."""

import os
import threading
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakSet

import duckdb
import numpy as np
import pyarrow as pa

from ropeway import counting, duplicates, filters
from ropeway.counting import Count
from ropeway.errors import NotFound, QueryError
from ropeway.filters import Dialect, Tree
from ropeway.indexed import Indexed, identifier, load
from ropeway.manifest import SPLITS, Manifest, Task
from ropeway.matching import Condition, at_once, matching
from ropeway.query import Query, Scalar, short
from ropeway.selection import Rows, Selection, check_same
from ropeway.stores import Store

MOST_NAMES = 1000
"""Datasets or parts that a query may name."""


@dataclass(frozen=True, slots=True)
class _Plan:
    task: Task | None
    conditions: list[Condition]


class Engine:
    """Loads each dataset version's index once, and queries them. Safe to use from threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._indexed: dict[tuple[str, str], Indexed] = {}
        self._rows = 0
        self._loading = threading.Lock()
        self._database = duckdb.connect(":memory:", config={"enable_external_access": "false"})
        _engines.add(self)

    def select(self, asked: Query, manifests: Sequence[Manifest]) -> Selection:
        """The samples of these dataset versions that a query selects.

        Raises:
            QueryError: the query names what is not there, or nothing matches.
        """
        plan = self._plan(asked, manifests)
        found = matching(self._database, plan.conditions)
        pieces = [
            (condition.indexed, _every(condition.indexed) if rows is None else rows)
            for condition, rows in zip(plan.conditions, found, strict=True)
        ]
        pieces = [(indexed, rows) for indexed, rows in pieces if len(rows)]
        if not pieces:
            raise QueryError(f"no sample matches: {describe(asked)}")
        return Selection(asked, plan.task, tuple(_distinct(pieces) if asked.distinct else pieces))

    def stats(
        self, by: Sequence[str], asked: Query, manifests: Sequence[Manifest], draw: counting.Draw | None = None
    ) -> list[dict[str, Scalar | None]]:
        """Samples, bytes and subjects for each combination of the columns `by`, largest first.

        With random numbers to `draw`, also the sums of them: `drawn_samples` and `drawn_subjects`.

        Raises:
            QueryError: an unknown column, or a query that can't be answered.
        """
        plan = self._plan(asked, manifests)
        _check_columns(by, plan)
        indexes = [condition.indexed for condition in plan.conditions]
        chosen = list(zip(indexes, matching(self._database, plan.conditions), strict=True))
        sizes = [len(indexed.rows) if rows is None else len(rows) for indexed, rows in chosen]
        counts = at_once(lambda one: counting.counted(*one, by, plan.task, draw), chosen, sizes)
        names = (*by, *Count._fields) if draw is not None else (*by, "samples", "bytes", "subjects")
        totals = counting.together(counts).items()
        rows = [dict(zip(names, (*group, *count), strict=False)) for group, count in totals]
        return sorted(rows, key=lambda row: (-int(row["samples"] or 0), [str(row[name]) for name in by]))

    def sample(self, manifest: Manifest, key: str) -> dict[str, Any]:
        """The index row of one sample, by column.

        Raises:
            NotFound: this version has no such sample.
        """
        (indexed,) = self._load([manifest])
        with self._database.cursor() as cursor:
            cursor.register("rows", indexed.rows)
            found = cursor.execute("SELECT * EXCLUDE (row) FROM rows WHERE key = ?", [key])
            names = [column[0] for column in found.description]
            row = found.fetchone()
        if row is None:
            raise NotFound("no such sample", dataset=manifest.dataset, key=key)
        return dict(zip(names, row, strict=True))

    def _plan(self, asked: Query, manifests: Sequence[Manifest]) -> "_Plan":
        """What to ask of which index."""
        tree = filters.parse(asked.where) if asked.where else None
        candidates = _candidates(asked, manifests)
        task = _find_task(asked.task, candidates) if asked.task else None
        chosen = self._load(candidates)
        dialects = _dialects(tree, chosen, task)
        conditions = [
            Condition(indexed, *_condition(asked, tree, dialect, task))
            for indexed, dialect in zip(chosen, dialects, strict=True)
        ]
        return _Plan(task, conditions)

    def _load(self, manifests: Sequence[Manifest]) -> list[Indexed]:
        """The indexes of these versions; those that nobody asked for before are read."""
        versions = [(manifest.dataset, manifest.version) for manifest in manifests]
        if not self._indexed.keys() >= set(versions):
            with self._loading:
                for version, manifest in zip(versions, manifests, strict=True):
                    if version not in self._indexed:
                        self._indexed[version] = load(self._store, manifest, self._rows)
                        self._rows += manifest.samples
        return [self._indexed[version] for version in versions]


_engines: WeakSet[Engine] = WeakSet()
_inherited: list[duckdb.DuckDBPyConnection] = []


def _keep_inherited() -> None:
    """In a forked child: never let go of the parent's databases.

    DuckDB's destructor waits for its threads, which did not come along: a DataLoader worker would crash in its garbage
    collection. Nothing else is done with them there.
    """
    _inherited.extend(engine._database for engine in _engines)


os.register_at_fork(after_in_child=_keep_inherited)


def _check_columns(by: Sequence[str], plan: _Plan) -> None:
    known = set[str]().union(*(condition.indexed.names(plan.task) for condition in plan.conditions))
    for name in by:
        if name.lower() not in known:
            raise QueryError(f"unknown column {name!r} in by; there is: {', '.join(sorted(known))}")


def _find_task(task_id: str, candidates: Sequence[Manifest]) -> Task:
    """The task of that id, which all candidates have and must mean the same by."""
    first = None
    for manifest in candidates:
        task = manifest.task(task_id)
        first = first or task
        if first and task:
            check_same(first, task, manifest)
    if first is None:
        raise QueryError(f"unknown task {task_id!r}")
    return first


def describe(asked: Query) -> str:
    """A query in words, for messages."""
    given = [(name, value) for name in Query.__dataclass_fields__ if (value := getattr(asked, name))]
    return ", ".join(f"{name}={short(repr(value))}" for name, value in given) or "everything"


def _check_names(asked: Query, manifests: Sequence[Manifest]) -> None:
    if not manifests:
        raise QueryError("the store holds no dataset: pack one first")
    if asked.datasets is not None:
        _check_known("dataset", asked.datasets, {manifest.dataset for manifest in manifests})
    if asked.task is not None:
        _check_known("task", [asked.task], {task.id for manifest in manifests for task in manifest.tasks})
    if asked.split is not None:
        _check_known("split", [asked.split], SPLITS)
    for what, names in (("datasets", asked.datasets or ()), ("parts", asked.parts)):
        if len(names) > MOST_NAMES:
            raise QueryError(f"{what} names {len(names):,}; a query names {MOST_NAMES:,} at most")


def _check_known(what: str, names: Iterable[str], known: Collection[str]) -> None:
    for name in names:
        if name not in known:
            told = known if isinstance(known, Sequence) else sorted(known)
            raise QueryError(f"unknown {what} {short(name)!r}; there is: {', '.join(told) or 'none'}")


def _candidates(asked: Query, manifests: Sequence[Manifest]) -> list[Manifest]:
    _check_names(asked, manifests)
    chosen = [
        manifest
        for manifest in sorted(manifests, key=lambda manifest: manifest.dataset)
        if (asked.datasets is None or manifest.dataset in asked.datasets)
        and (asked.task is None or manifest.task(asked.task) is not None)
        and (asked.domain is None or manifest.card.domain == asked.domain)
        and (asked.modality is None or asked.modality in manifest.card.modalities)
    ]
    if not chosen:
        raise QueryError(f"no dataset matches: {describe(asked)}")
    known_parts = {part.name for manifest in chosen for part in manifest.parts}
    for name in asked.parts:
        if name not in known_parts:
            raise QueryError(f"unknown part {name!r}; there is: {', '.join(sorted(known_parts))}")
    return chosen


def _dialects(tree: Tree | None, chosen: Sequence[Indexed], task: Task | None) -> list[Dialect]:
    """One dialect per dataset: a column that only some datasets have is null in the others."""
    used = filters.column_names(tree) if tree is not None else set()
    if "label" in used and task is None:
        raise QueryError("the filter uses label: name the task it is a label of (task=…)")
    known = set[str]().union(*(indexed.names(task) for indexed in chosen))
    parts = {part.name for indexed in chosen for part in indexed.manifest.parts}
    for part in filters.part_names(tree) if tree is not None else ():
        if part not in parts:
            raise QueryError(f"unknown part {part!r} in the filter; there is: {', '.join(sorted(parts))}")
    dialects = []
    for indexed in chosen:
        columns = {name: column for name in known if (column := indexed.column(name, task)) is not None}
        dialects.append(Dialect(columns, _presence(indexed.manifest), frozenset(known - set(columns))))
    return dialects


def _presence(manifest: Manifest) -> dict[str, str]:
    return {part.name: f"({identifier(f'{part.name}.offset')} IS NOT NULL)" for part in manifest.parts}


def _condition(asked: Query, tree: Tree | None, dialect: Dialect, task: Task | None) -> tuple[str, list[Scalar]]:
    conditions, params = list[str](), list[Scalar]()
    if task is not None:
        holds = f"{task.target}.offset" if task.target else f"task.{task.id}"
        conditions.append(f"{identifier(holds)} IS NOT NULL")
    if asked.split is not None:
        conditions.append('"split" = ?')
        params.append(asked.split)
    conditions += [dialect.parts.get(part, "FALSE") for part in asked.parts]
    if tree is not None:
        sql, more = filters.compile_filter(tree, dialect)
        conditions.append(sql)
        params += more
    return " AND ".join(conditions), params


def _distinct(pieces: Sequence[tuple[Indexed, Rows]]) -> list[tuple[Indexed, Rows]]:
    """Without the rows that repeat the content of an earlier one, by dataset and then key."""
    for indexed, _ in pieces:
        if "content" not in indexed.rows.schema.names:
            raise QueryError(
                "distinct needs the content numbers that packing writes, and this version was made before there were "
                "any: pack it again, or leave it out (datasets=…)", dataset=indexed.manifest.dataset,
            )  # fmt: skip
    tables = [indexed.rows.select(["key", "content"]).take(pa.array(rows)) for indexed, rows in pieces]
    kept = zip(pieces, duplicates.firsts(tables), strict=True)
    return [(indexed, rows[first]) for (indexed, rows), first in kept if first.any()]


def _every(indexed: Indexed) -> Rows:
    return np.arange(len(indexed.rows))
