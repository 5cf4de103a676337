"""Graphs with features and labels per node, as GraphSAGE's release of PPI stores them: one sample per graph.

Source: the files of https://data.dgl.ai/dataset/ppi.zip. A set is four files: `…_graph.json` (NetworkX's node-link
form, whose node ids are rows of the arrays), `…_feats.npy` [node, feature], `…_labels.npy` [node, class] and
`…_graph_id.npy` [node], the graph that each node is of. No edge leads from one graph into another.
"""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from ropeway.decoders.arrays import decode_npy
from ropeway_shardgen.adapters.adapter import Adapter, Options, Payload, Row, array_payload
from ropeway_shardgen.adapters.opened import Opened
from ropeway_shardgen.fields import Fields, lookup
from ropeway_shardgen.formats.graph import Array, graph_payload

_GRAPH = "_graph.json"
_BESIDE = ("feats", "labels", "graph_id")


class NodeLinkOptions(Options, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which side of a graph a part holds."""

    content: Literal["graph", "labels"] = "graph"
    """The graph with its node features, or the labels of its nodes."""


class _Node(msgspec.Struct, frozen=True):
    id: int


class _Link(msgspec.Struct, frozen=True):
    source: int
    target: int


class _NodeLink(msgspec.Struct, frozen=True):
    nodes: list[_Node]
    links: list[_Link]
    directed: bool = False
    multigraph: bool = False


class GraphSet:
    """The graphs of one set of files."""

    def __init__(self, path: Path) -> None:
        if not path.name.endswith(_GRAPH):
            raise ValueError(f"not the graphs of a set: its name does not end with {_GRAPH}")
        self._path = path
        self.graph_id = self._array("graph_id")
        if self.graph_id.ndim != 1 or self.graph_id.dtype.kind not in "iu":
            raise ValueError(f"the graph ids are {self.graph_id.dtype} of shape {self.graph_id.shape}")

    def close(self) -> None:
        """Nothing is held open."""

    def _array(self, name: str) -> Array:
        return decode_npy(memoryview(_beside(self._path, name).read_bytes()))

    def _per_node(self, name: str) -> Array:
        array = self._array(name)
        if array.ndim != 2 or len(array) != len(self.graph_id):
            raise ValueError(f"{name} are of shape {array.shape} where {len(self.graph_id)} nodes have a graph")
        return array

    @cached_property
    def features(self) -> Array:
        """[node, feature], as stored."""
        return self._per_node("feats")

    @cached_property
    def labels(self) -> Array:
        """[node, class], as stored."""
        return self._per_node("labels")

    @cached_property
    def _network(self) -> tuple[bool, Array]:
        """Whether links have a direction, and the links [2, links] as node ids."""
        found = msgspec.json.decode(self._path.read_bytes(), type=_NodeLink)
        nodes = len(self.graph_id)
        if sorted(node.id for node in found.nodes) != list(range(nodes)):
            raise ValueError(f"the node ids of {self._path.name} are not the {nodes} rows of the arrays")
        links = np.array([(link.source, link.target) for link in found.links], np.int64).reshape(-1, 2).T
        if links.size and not (links.min() >= 0 and links.max() < nodes):
            raise ValueError(f"{self._path.name} has a link to a node that is none of {nodes}")
        if (self.graph_id[links[0]] != self.graph_id[links[1]]).any():
            raise ValueError(f"{self._path.name} has a link from one graph into another")
        return found.directed, links

    def graph(self, number: int) -> Payload:
        """One graph with its node features."""
        directed, links = self._network
        nodes = np.flatnonzero(self.graph_id == number)
        own = np.searchsorted(nodes, links[:, self.graph_id[links[0]] == number])
        return graph_payload(len(nodes), own, {"node_features": self.features[nodes]}, {"directed": directed})


_OPENED = Opened(GraphSet)


def rows(path: Path, _options: NodeLinkOptions) -> Iterator[Row]:
    """One row per graph: `graph` (its id in the set) and `nodes`."""
    graphs = _OPENED.get(path)
    for number, nodes in zip(*np.unique(graphs.graph_id, return_counts=True), strict=True):
        size = path.stat().st_size * int(nodes) // len(graphs.graph_id)
        yield Row({"graph": int(number), "nodes": int(nodes)}, size)


def read(path: Path, fields: Fields, options: NodeLinkOptions) -> Payload:
    """One graph as npz (`edge_index`: each link as the file lists it; `node_features`), with the field `directed`; or
    the labels of its nodes as an array [node, class].

    Raises:
        ValueError: the files of the set do not fit together, or are damaged.
    """
    graphs, number = _OPENED.get(path), int(lookup(fields, "graph") or 0)
    if options.content == "graph":
        return graphs.graph(number)
    return array_payload(graphs.labels[graphs.graph_id == number], ("node", "class"))


def companions(path: Path, _options: NodeLinkOptions) -> list[Path]:
    """The arrays of the set."""
    return [_beside(path, name) for name in _BESIDE]


def _beside(path: Path, name: str) -> Path:
    return path.with_name(f"{path.name.removesuffix(_GRAPH)}_{name}.npy")


ADAPTER = Adapter(options=NodeLinkOptions, read=read, rows=rows, locators=lambda _: ("graph",), companions=companions)
