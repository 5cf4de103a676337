"""Answers queries from Parquet indexes with DuckDB: the one query engine, in-process and behind the service."""

import hashlib
import os
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from weakref import WeakSet

import duckdb
import msgspec
import numpy as np
import pyarrow as pa

from ropeway import index, query, samples
from ropeway.errors import ChecksumError, NotFound, QueryError, UsageError
from ropeway.manifest import SPLITS, IndexFile, Manifest, Part, Task, object_path
from ropeway.query import Column, ColumnType, Dialect, Query, Scalar
from ropeway.samples import Samples, ShardRef
from ropeway.stores import Store

_DATASET_COLUMNS = ("dataset", "domain", "modality")
_ROW_COLUMNS = ("split", "subject", "key")


@dataclass(frozen=True, slots=True)
class Indexed:
    """A dataset version with its index in memory."""

    manifest: Manifest
    rows: pa.Table

    def column(self, name: str, task: Task | None) -> Column | None:
        """How a filter's column reads here, or None when this dataset lacks it."""
        card = self.manifest.card
        match name:
            case "dataset":
                return Column(_quote(self.manifest.dataset), "string")
            case "domain":
                return Column(_quote(card.domain), "string")
            case "modality":
                return Column(f"[{', '.join(map(_quote, card.modalities))}]", "string", many=True)
            case "split" | "subject" | "key":
                return Column(f'"{name}"', "string")
            case "label":
                return self._label(task)
        return self._meta(name)

    def _meta(self, name: str) -> Column | None:
        """Metadata by its bare name, in any case, as in SQL."""
        for field in self.rows.schema:
            if field.name.lower() == f"meta.{name}":
                return Column(_identifier(field.name), _column_type(field.type))
        return None

    def _label(self, task: Task | None) -> Column | None:
        if task is None or self.manifest.task(task.id) is None:
            return None
        sql = _identifier(f"task.{task.id}")
        if task.type == "regression":
            return Column(sql, "number")
        positions: dict[Scalar, int] = {name: number for number, name in enumerate(task.classes)}
        return Column(sql, "string", many=task.type == "multilabel", values=positions)

    def names(self, task: Task | None) -> set[str]:
        """Every column a filter or a statistic can name here, in lower case."""
        meta = {name.removeprefix("meta.").lower() for name in self.rows.schema.names if name.startswith("meta.")}
        return {*_DATASET_COLUMNS, *_ROW_COLUMNS, *meta} | (
            {"label"} if task and self.manifest.task(task.id) else set()
        )


@dataclass(frozen=True)
class Selection:
    """What a query selects: row numbers per dataset version, in storage order."""

    query: Query
    task: Task | None
    pieces: tuple[tuple[Indexed, np.ndarray[Any, np.dtype[np.int64]]], ...]

    @cached_property
    def id(self) -> str:
        """16 hex digits over the dataset versions, the selected rows and the task: same samples, same id."""
        digest = hashlib.sha256(msgspec.json.encode(["view", 1, self.task.id if self.task else None]))
        for indexed, rows in self.pieces:
            head = [indexed.manifest.dataset, indexed.manifest.version, len(rows)]
            digest.update(msgspec.json.encode(head))
            digest.update(rows.astype("<i8").tobytes())
        return digest.hexdigest()[:16]

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """Parts of all selected datasets; what differs between datasets is left open."""
        merged: dict[str, Part] = {}
        for indexed, _ in self.pieces:
            for part in indexed.manifest.parts:
                merged[part.name] = merge_parts(merged[part.name], part) if part.name in merged else part
        return tuple(merged.values())

    @cached_property
    def tasks(self) -> tuple[Task, ...]:
        """Tasks of all selected datasets, the query's task first."""
        found = {self.task.id: self.task} if self.task else {}
        for indexed, _ in self.pieces:
            for task in indexed.manifest.tasks:
                _check_same(found.setdefault(task.id, task), task, indexed.manifest)
        return tuple(found.values())

    @cached_property
    def samples(self) -> Samples:
        """The selected samples as columns."""
        names = [part.name for part in self.parts]
        return samples.concat([_samples(indexed, rows, names, self.tasks) for indexed, rows in self.pieces])

    def columns(self, names: Sequence[str]) -> pa.Table:
        """Index columns of the selected samples, in row order; null where a dataset lacks one.

        Raises:
            UsageError: no selected dataset has such a column.
        """
        tables = []
        for indexed, rows in self.pieces:
            here = {name: _stored(name) for name in names if _stored(name) in indexed.rows.schema.names}
            piece = indexed.rows.select(list(here.values())).take(pa.array(rows)).rename_columns(list(here))
            tables.append(_plain(piece))
        known = {column for table in tables for column in table.schema.names}
        if missing := [name for name in names if name not in known]:
            meta = {column.removeprefix("meta.") for i, _ in self.pieces for column in i.rows.schema.names}
            there = sorted(meta & {m for m in meta if "." not in m} - {"row", "shard", "offset", "length", "crc32c"})
            raise UsageError(f"no column {missing[0]!r} in this view; there is: {', '.join(there)}")
        return pa.concat_tables(tables, promote_options="permissive").select(list(names)).combine_chunks()


class Engine:
    """Loads each dataset version's index once, and queries them. Safe to use from threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._indexed: dict[tuple[str, str], Indexed] = {}
        self._loading = threading.Lock()
        self._database = duckdb.connect(":memory:", config={"enable_external_access": "false"})
        _engines.add(self)

    def select(self, asked: Query, manifests: Sequence[Manifest]) -> Selection:
        """The samples of these dataset versions that a query selects.

        Raises:
            QueryError: the query names what is not there, or nothing matches.
        """
        tree = query.parse(asked.where) if asked.where else None
        candidates = _candidates(asked, manifests)
        task = _find_task(asked.task, candidates) if asked.task else None
        chosen = [self._load(manifest) for manifest in candidates]
        dialects = _dialects(tree, chosen, task)
        pieces = []
        for indexed, dialect in zip(chosen, dialects, strict=True):
            where, params = _condition(asked, tree, dialect, task)
            rows = self._fetch(indexed, f"SELECT row FROM rows WHERE {where} ORDER BY row", params)["row"]
            if len(rows):
                pieces.append((indexed, np.ascontiguousarray(rows, np.int64)))
        if not pieces:
            raise QueryError(f"no sample matches: {describe(asked)}")
        return Selection(asked, task, tuple(pieces))

    def stats(self, by: Sequence[str], asked: Query, manifests: Sequence[Manifest]) -> list[dict[str, Scalar | None]]:
        """Samples, bytes and subjects for each combination of the columns `by`, largest first.

        Raises:
            QueryError: an unknown column, or a query that can't be answered.
        """
        tree = query.parse(asked.where) if asked.where else None
        candidates = _candidates(asked, manifests)
        task = _find_task(asked.task, candidates) if asked.task else None
        chosen = [self._load(manifest) for manifest in candidates]
        known = set[str]().union(*(indexed.names(task) for indexed in chosen))
        for name in by:
            if name.lower() not in known:
                raise QueryError(f"unknown column {name!r} in by; there is: {', '.join(sorted(known))}")
        counts: dict[tuple[Scalar | None, ...], list[int]] = {}
        for indexed, dialect in zip(chosen, _dialects(tree, chosen, task), strict=True):
            where, params = _condition(asked, tree, dialect, task)
            for *group, n, size, subjects in self._groups(indexed, by, task, where, params):
                total = counts.setdefault(tuple(group), [0, 0, 0])
                total[:] = [total[0] + n, total[1] + size, total[2] + subjects]
        rows = [
            {**dict(zip(by, group, strict=True)), "samples": n, "bytes": size, "subjects": subjects}
            for group, (n, size, subjects) in counts.items()
        ]
        return sorted(rows, key=lambda row: (-int(row["samples"] or 0), [str(row[name]) for name in by]))

    def sample(self, manifest: Manifest, key: str) -> dict[str, Any]:
        """The index row of one sample, by column.

        Raises:
            NotFound: this version has no such sample.
        """
        with self._cursor(self._load(manifest)) as cursor:
            found = cursor.execute("SELECT * EXCLUDE (row) FROM rows WHERE key = ?", [key])
            names = [column[0] for column in found.description]
            row = found.fetchone()
        if row is None:
            raise NotFound("no such sample", dataset=manifest.dataset, key=key)
        return dict(zip(names, row, strict=True))

    def _groups(self, indexed: Indexed, by: Sequence[str], task: Task | None, where: str,
                params: list[Scalar]) -> Iterable[tuple[Any, ...]]:  # fmt: skip
        selected = []
        for name in by:
            column = indexed.column(name.lower(), task)
            selected.append("NULL" if column is None else _grouped(column, name.lower(), indexed))
        names = "".join(f"{sql}, " for sql in selected)
        grouping = f" GROUP BY {', '.join(str(i + 1) for i in range(len(by)))}" if by else ""
        sql = (
            f"SELECT {names}count(*), coalesce(sum(length), 0)::BIGINT, count(DISTINCT subject) "
            f"FROM rows WHERE {where}{grouping}"
        )
        with self._cursor(indexed) as cursor:
            return [row for row in cursor.execute(sql, params).fetchall() if row[len(by)]]

    def _fetch(self, indexed: Indexed, sql: str, params: list[Scalar]) -> dict[str, Any]:
        with self._cursor(indexed) as cursor:
            return cursor.execute(sql, params).fetchnumpy()

    def _cursor(self, indexed: Indexed) -> duckdb.DuckDBPyConnection:
        cursor = self._database.cursor()
        cursor.register("rows", indexed.rows)
        return cursor

    def _load(self, manifest: Manifest) -> Indexed:
        version = manifest.dataset, manifest.version
        with self._loading:
            if version not in self._indexed:
                self._indexed[version] = Indexed(manifest, load_index(self._store, manifest))
            return self._indexed[version]


_engines: WeakSet[Engine] = WeakSet()
_inherited: list[duckdb.DuckDBPyConnection] = []


def _keep_inherited() -> None:
    """In a forked child: never let go of the parent's databases.

    DuckDB's destructor waits for its threads, which did not come along: a DataLoader worker would crash in its garbage
    collection. Nothing else is done with them there.
    """
    _inherited.extend(engine._database for engine in _engines)


os.register_at_fork(after_in_child=_keep_inherited)


def load_index(store: Store, manifest: Manifest) -> pa.Table:
    """A version's whole index, checked against its manifest, with each row's number in a column `row`."""
    rows = pa.concat_tables([_read_index(store, manifest, file) for file in manifest.index])
    index.check(rows, manifest)
    return rows.append_column("row", pa.array(np.arange(len(rows)))).unify_dictionaries()


def _read_index(store: Store, manifest: Manifest, file: IndexFile) -> pa.Table:
    path = object_path(manifest.dataset, file.path)
    url = f"{store.url}/{path}"
    data = store.read(path)
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise ChecksumError("sha256 of the index file differs from the manifest's", dataset=manifest.dataset, url=url)
    return index.decode(data, url=url)


def _find_task(task_id: str, candidates: Sequence[Manifest]) -> Task:
    """The task of that id, which all candidates have and must mean the same by."""
    first = None
    for manifest in candidates:
        task = manifest.task(task_id)
        first = first or task
        if first and task:
            _check_same(first, task, manifest)
    if first is None:
        raise QueryError(f"unknown task {task_id!r}")
    return first


def _check_same(one: Task, other: Task, manifest: Manifest) -> None:
    if (one.type, one.classes) != (other.type, other.classes):
        raise QueryError(
            f"task {one.id!r} has another type or other classes here than in another selected dataset: "
            "name the datasets to select", dataset=manifest.dataset,
        )  # fmt: skip


def merge_parts(one: Part, other: Part) -> Part:
    """What two parts of the same name have in common."""

    def common(name: str) -> Any:
        mine, theirs = getattr(one, name), getattr(other, name)
        return mine if mine == theirs else None

    shape = None
    if one.shape is not None and other.shape is not None and len(one.shape) == len(other.shape):
        shape = tuple(a if a == b else None for a, b in zip(one.shape, other.shape, strict=True))
    return Part(
        name=one.name,
        kind=one.kind,
        format=one.format if one.format == other.format else "",
        dtype=common("dtype"),
        shape=shape,
        axes=common("axes") or (),
        units=common("units") or "",
        sampling_rate=common("sampling_rate"),
        channels=common("channels") or (),
        samples=one.samples + other.samples,
    )


def describe(asked: Query) -> str:
    """A query in words, for messages."""
    given = [(name, value) for name in Query.__dataclass_fields__ if (value := getattr(asked, name))]
    return ", ".join(f"{name}={value!r}" for name, value in given) or "everything"


def _check_names(asked: Query, manifests: Sequence[Manifest]) -> None:
    if not manifests:
        raise QueryError("the store holds no dataset: pack one first")
    datasets = {manifest.dataset for manifest in manifests}
    tasks = {task.id for manifest in manifests for task in manifest.tasks}
    named: list[tuple[str, Iterable[str], Iterable[str]]] = [
        ("dataset", asked.datasets or (), sorted(datasets)),
        ("task", [asked.task] if asked.task is not None else (), sorted(tasks)),
        ("split", [asked.split] if asked.split is not None else (), SPLITS),
    ]
    for what, names, known in named:
        for name in names:
            if name not in known:
                raise QueryError(f"unknown {what} {name!r}; there is: {', '.join(known) or 'none'}")


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


def _dialects(tree: query.Tree | None, chosen: Sequence[Indexed], task: Task | None) -> list[Dialect]:
    """One dialect per dataset: a column that only some datasets have is null in the others."""
    used = query.column_names(tree) if tree is not None else set()
    if "label" in used and task is None:
        raise QueryError("the filter uses label: name the task it is a label of (task=…)")
    known = set[str]().union(*(indexed.names(task) for indexed in chosen))
    parts = {part.name for indexed in chosen for part in indexed.manifest.parts}
    for part in query.part_names(tree) if tree is not None else ():
        if part not in parts:
            raise QueryError(f"unknown part {part!r} in the filter; there is: {', '.join(sorted(parts))}")
    dialects = []
    for indexed in chosen:
        columns = {name: column for name in known if (column := indexed.column(name, task)) is not None}
        dialects.append(Dialect(columns, _presence(indexed.manifest), frozenset(known - set(columns))))
    return dialects


def _presence(manifest: Manifest) -> dict[str, str]:
    return {part.name: f"({_identifier(f'{part.name}.offset')} IS NOT NULL)" for part in manifest.parts}


def _condition(asked: Query, tree: query.Tree | None, dialect: Dialect, task: Task | None) -> tuple[str, list[Scalar]]:
    conditions, params = ["TRUE"], list[Scalar]()
    if task is not None:
        conditions.append(f"{_identifier(f'task.{task.id}')} IS NOT NULL")
    if asked.split is not None:
        conditions.append("split = ?")
        params.append(asked.split)
    conditions += [dialect.parts.get(part, "FALSE") for part in asked.parts]
    if tree is not None:
        sql, more = query.compile_filter(tree, dialect)
        conditions.append(sql)
        params += more
    return " AND ".join(conditions), params


def _samples(indexed: Indexed, rows: Any, parts: Sequence[str], tasks: Sequence[Task]) -> Samples:
    manifest = indexed.manifest
    refs = [
        ShardRef(manifest.dataset, manifest.version, object_path(manifest.dataset, s.path), s.bytes, s.sha256)
        for s in manifest.shards
    ]
    here = indexed.rows if len(rows) == len(indexed.rows) else indexed.rows.take(pa.array(rows))
    return samples.from_index(here, manifest.shards, refs, parts, tasks)


def _grouped(column: Column, name: str, indexed: Indexed) -> str:
    if name == "modality":
        return _quote(", ".join(indexed.manifest.card.modalities))
    if column.values is None:
        return column.sql
    names = "[" + ", ".join(_quote(str(value)) for value in column.values) + "]"
    return f"unnest(list_transform({column.sql}, lambda x: {names}[x + 1]))" if column.many else \
        f"{names}[{column.sql} + 1]"  # fmt: skip


def _column_type(kind: pa.DataType) -> ColumnType:
    if pa.types.is_boolean(kind):
        return "boolean"
    return "number" if pa.types.is_integer(kind) or pa.types.is_floating(kind) else "string"


def _stored(name: str) -> str:
    return name if name in _ROW_COLUMNS else f"meta.{name}"


def _plain(table: pa.Table) -> pa.Table:
    """Without dictionaries, whose positions differ between datasets."""
    plain = [f.type.value_type if pa.types.is_dictionary(f.type) else f.type for f in table.schema]
    return table.cast(pa.schema(zip(table.schema.names, plain, strict=True)))


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
