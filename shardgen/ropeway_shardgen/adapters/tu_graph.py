"""Graph collections in the text format of the TU Dortmund benchmarks: one sample per graph.

Source: Morris et al., "TUDataset: a collection of benchmark datasets for learning with graphs", 2020, and the README
of each collection. A collection `DS` is a set of text files with one line per edge (`DS_A.txt`), per node
(`DS_graph_indicator.txt`, …) or per graph (`DS_graph_labels.txt`). Node and graph ids count from 1 over all graphs.
"""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ropeway.index import Value
from ropeway_shardgen.adapters.adapter import Adapter, Options, Payload, Row
from ropeway_shardgen.adapters.opened import Opened
from ropeway_shardgen.fields import Fields, lookup
from ropeway_shardgen.formats.graph import Array, graph_payload

_EDGES = "_A.txt"
_PER_NODE = {"node_labels": np.int64, "node_attributes": np.float64}
_PER_EDGE = {"edge_labels": np.int64, "edge_attributes": np.float64}
_BESIDE = ("graph_indicator", "graph_labels", *_PER_NODE, *_PER_EDGE)


class TuOptions(Options, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Collections need no telling."""


class Collection:
    """All graphs of a collection. They are read as a whole: the files are small and have no index."""

    def __init__(self, path: Path) -> None:
        if not path.name.endswith(_EDGES):
            raise ValueError(f"not the edge list of a collection: its name does not end with {_EDGES}")
        self._path = path
        self.indicator = _numbers(_beside(path, "graph_indicator"), np.int64).ravel()
        self.edges = _numbers(path, np.int64) - 1
        self._check()

    def close(self) -> None:
        """Nothing is held open."""

    def _check(self) -> None:
        nodes = len(self.indicator)
        if self.edges.size and (self.edges.shape[1] != 2 or self.edges.min() < 0 or self.edges.max() >= nodes):
            raise ValueError(f"the edge list is not one of pairs of nodes from 1 to {nodes}")
        ends = self.indicator[self.edges]
        if (ends[:, :1] != ends[:, -1:]).any():
            raise ValueError("an edge leads from one graph into another")

    @cached_property
    def labels(self) -> list[str] | None:
        """The label of each graph as it stands in the file; None where the collection has none."""
        path = _beside(self._path, "graph_labels")
        return path.read_text("ascii").split() if path.exists() else None

    @cached_property
    def arrays(self) -> dict[str, Array]:
        """The arrays that the collection has, one row per node or per edge of all graphs."""
        found: dict[str, Array] = {}
        for names, due in ((_PER_NODE, len(self.indicator)), (_PER_EDGE, len(self.edges))):
            for name, dtype in names.items():
                path = _beside(self._path, name)
                if path.exists():
                    found[name] = _numbers(path, dtype)
                    if len(found[name]) != due:
                        raise ValueError(f"{path.name} has {len(found[name])} lines where {due} are due")
        return found

    @cached_property
    def _edge_graphs(self) -> Array:
        """The graph of each edge, which is that of its source."""
        graphs: Array = self.indicator[self.edges[:, 0]]
        return graphs

    def graphs(self) -> Iterator[tuple[int, int, int]]:
        """Number (from 1), nodes and edges of each graph."""
        count = len(self.labels) if self.labels is not None else int(self.indicator.max(initial=0))
        if self.indicator.size and not 1 <= self.indicator.min() <= self.indicator.max() <= count:
            raise ValueError(f"{_beside(self._path, 'graph_indicator').name} names a graph that is not one of {count}")
        nodes = np.bincount(self.indicator, minlength=count + 1)
        edges = np.bincount(self._edge_graphs, minlength=count + 1)
        for number in range(1, count + 1):
            yield number, int(nodes[number]), int(edges[number])

    def graph(self, number: int) -> Payload:
        """One graph, its nodes counted from 0."""
        nodes, edges = np.flatnonzero(self.indicator == number), np.flatnonzero(self._edge_graphs == number)
        arrays = {name: array[nodes if name in _PER_NODE else edges] for name, array in self.arrays.items()}
        return graph_payload(len(nodes), np.searchsorted(nodes, self.edges[edges].T), arrays)


_OPENED = Opened(Collection)


def rows(path: Path, _options: TuOptions) -> Iterator[Row]:
    """One row per graph: `graph` (from 1), `nodes`, `edges`, `label` (as the file has it)."""
    collection = _OPENED.get(path)
    for number, nodes, edges in collection.graphs():
        label: Value = collection.labels[number - 1] if collection.labels is not None else None
        yield Row({"graph": number, "nodes": nodes, "edges": edges, "label": label}, 16 * (nodes + edges))


def read(path: Path, fields: Fields, _options: TuOptions) -> Payload:
    """One graph as npz: `edge_index`, and of `node_labels`, `edge_labels` (int64), `node_attributes`,
    `edge_attributes` (float64) those that the collection has, each [nodes or edges, columns].

    Raises:
        ValueError: files of the collection do not fit together.
    """
    return _OPENED.get(path).graph(int(lookup(fields, "graph") or 0))


def companions(path: Path, _options: TuOptions) -> list[Path]:
    """The collection's other files, those that are there."""
    return [other for name in _BESIDE if (other := _beside(path, name)).exists()]


def _beside(path: Path, name: str) -> Path:
    return path.with_name(f"{path.name.removesuffix(_EDGES)}_{name}.txt")


def _numbers(path: Path, dtype: type[Any]) -> Array:
    """Comma-separated numbers, [lines, columns]; a file of no lines is one of no edges."""
    if not path.stat().st_size:
        return np.zeros((0, 2), dtype)
    return np.loadtxt(path, dtype, delimiter=",", ndmin=2, comments=None)


ADAPTER = Adapter(options=TuOptions, read=read, rows=rows, locators=lambda _: ("graph",), companions=companions)
