"""Graph collections of the Open Graph Benchmark, from their raw text: one sample per graph.

Source: Hu et al., "Open Graph Benchmark", NeurIPS 2020, and the readers of https://github.com/snap-stanford/ogb. A
collection's folder `raw` holds gzipped tables without header: `num-node-list` and `num-edge-list` (a line per graph),
`graph-label`, `edge` (a line per edge, nodes counted from 0 within the graph), `node-feat` and `edge-feat` where there
are any. The large ones are read forwards, once: pack in the order of the source.
"""

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from ropeway.index import Value
from ropeway_shardgen.adapters.adapter import Adapter, Options, Payload, Row
from ropeway_shardgen.adapters.opened import Opened
from ropeway_shardgen.fields import Fields, lookup
from ropeway_shardgen.formats import bounded
from ropeway_shardgen.formats.graph import Array, graph_payload

_NODES = "num-node-list.csv.gz"
_TABLES = ("num-edge-list", "graph-label", "edge", "node-feat", "edge-feat")
_BLOCK = 1 << 22
"""Bytes of text that are parsed at a time."""
_PER_GRAPH = 1 << 26
"""Characters of a table with a line per graph, which is read whole: the 158,100 graphs of ogbg-ppa take a megabyte."""


class OgbOptions(Options, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the tables of features hold."""

    features: Literal["int64", "float32"]


class Lines:
    """The lines of a table of numbers, read forwards."""

    def __init__(self, path: Path, kind: pa.DataType) -> None:
        self._path, self._kind = path, kind
        with gzip.open(path, "rt", encoding="ascii") as file:
            self.columns = next(bounded.lines(file), "").count(",") + 1
        self._reader: Any = None
        self._start, self._block = 0, self._empty()

    def _empty(self) -> Array:
        return np.empty((0, self.columns), self._kind.to_pandas_dtype())

    def close(self) -> None:
        """Stop reading."""
        if self._reader is not None:
            self._reader.close()
        self._reader, self._start, self._block = None, 0, self._empty()

    def take(self, start: int, stop: int) -> Array:
        """Lines [start, stop). Going back begins again at the first line.

        Raises:
            ValueError: there are fewer, or a cell is no number.
        """
        if start < self._start:
            self.close()
        if start == stop:
            return self._empty()
        while self._start + len(self._block) < stop:
            kept = self._block[start - self._start :]
            self._start += len(self._block) - len(kept)
            self._block = np.concatenate([kept, self._next()])
        return self._block[start - self._start : stop - self._start]

    def _next(self) -> Array:
        self._reader = self._reader or self._open()
        try:
            batch = self._reader.read_next_batch()
        except StopIteration:
            raise ValueError(f"{self._path.name} ends too early") from None
        return np.stack([column.to_numpy() for column in batch.columns], axis=1)

    def _open(self) -> Any:
        names = [f"{number}" for number in range(self.columns)]
        return pa_csv.open_csv(
            self._path,
            read_options=pa_csv.ReadOptions(column_names=names, block_size=_BLOCK),
            convert_options=pa_csv.ConvertOptions(column_types=dict.fromkeys(names, self._kind), null_values=[]),
        )


class Collection:
    """All graphs of a collection."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.nodes, self.edges = _counts(path), _counts(_beside(path, "num-edge-list"))
        if len(self.nodes) != len(self.edges):
            raise ValueError(f"{len(self.nodes)} numbers of nodes, {len(self.edges)} of edges")
        self._first_node, self._first_edge = (np.concatenate([[0], np.cumsum(n)]) for n in (self.nodes, self.edges))
        self._lines: dict[str, Lines] = {}

    def close(self) -> None:
        """Stop reading."""
        for lines in self._lines.values():
            lines.close()

    def labels(self) -> list[str]:
        """The label of each graph as it stands in the file."""
        with gzip.open(_beside(self._path, "graph-label"), "rt", encoding="ascii") as file:
            labels = bounded.whole(file, _PER_GRAPH).split()
        if len(labels) != len(self.nodes):
            raise ValueError(f"{len(labels)} labels for {len(self.nodes)} graphs")
        return labels

    def graph(self, number: int, options: OgbOptions) -> Payload:
        """One graph, from 0."""
        nodes, edges = self._first_node[number : number + 2], self._first_edge[number : number + 2]
        arrays: dict[str, Array] = {}
        for table, name, (start, stop) in (
            ("node-feat", "node_features", nodes),
            ("edge-feat", "edge_features", edges),
        ):
            if _beside(self._path, table).exists():
                arrays[name] = self._of(table, options.features).take(int(start), int(stop))
        edge_index = self._of("edge", "int64").take(int(edges[0]), int(edges[1])).T
        return graph_payload(int(self.nodes[number]), edge_index, arrays)

    def _of(self, table: str, dtype: str) -> Lines:
        if table not in self._lines:
            self._lines[table] = Lines(_beside(self._path, table), pa.type_for_alias(dtype))
        return self._lines[table]


_OPENED = Opened(Collection)


def rows(path: Path, _options: OgbOptions) -> Iterator[Row]:
    """One row per graph: `graph` (from 0, as the split files count), `nodes`, `edges`, `label` (as the file has it)."""
    collection = _OPENED.get(path)
    for number, label in enumerate(collection.labels()):
        nodes, edges = int(collection.nodes[number]), int(collection.edges[number])
        found: dict[str, Value] = {"graph": number, "nodes": nodes, "edges": edges, "label": label}
        yield Row(found, 32 * (nodes + edges))


def read(path: Path, fields: Fields, options: OgbOptions) -> Payload:
    """One graph as npz: `edge_index`, and `node_features` and `edge_features` where the collection has them, in the
    options' dtype. Edges are as listed: once each, where the benchmark's own reader adds the way back.

    Raises:
        ValueError: a table ends too early, or a cell is no number.
    """
    return _OPENED.get(path).graph(int(lookup(fields, "graph") or 0), options)


def companions(path: Path, _options: OgbOptions) -> list[Path]:
    """The collection's other tables, those that are there."""
    return [other for table in _TABLES if (other := _beside(path, table)).exists()]


def _beside(path: Path, table: str) -> Path:
    if path.name != _NODES:
        raise ValueError(f"not the beginning of a collection: its name is not {_NODES}")
    return path.with_name(f"{table}.csv.gz")


def _counts(path: Path) -> Array:
    with gzip.open(path, "rt", encoding="ascii") as file:
        counts = np.array(bounded.whole(file, _PER_GRAPH).split(), np.int64)
    if counts.min(initial=0) < 0:
        raise ValueError(f"{path.name} has a number below zero")
    return counts


ADAPTER = Adapter(options=OgbOptions, read=read, rows=rows, locators=lambda _: ("graph",), companions=companions)
