"""Graphs as one `npz` of plain arrays, which every reader of NumPy opens and no graph framework is needed for.

Names are the same whatever the raw format:

- `edge_index`: int32 [2, edges], source and target of each edge, counted from 0 within the graph, as the file lists
  them (an undirected edge is there once or twice, as its dataset has it);
- `node_…`: one row per node, `edge_…`: one row per edge, in the dtype of the source.
"""

import io
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ropeway_shardgen.adapters.adapter import Payload, npy
from ropeway_shardgen.fields import Fields

Array = npt.NDArray[Any]

_EPOCH = (1980, 1, 1, 0, 0, 0)
_UNIX = 3


def graph_payload(nodes: int, edge_index: Array, arrays: Mapping[str, Array], fields: Fields | None = None) -> Payload:
    """A graph as an npz payload, with the fields `nodes` and `edges`.

    Args:
        nodes: how many.
        edge_index: [2, edges].
        arrays: further arrays, named `node_…` or `edge_…`.
        fields: what else is known of the graph.

    Raises:
        ValueError: an edge ends outside the graph, or an array does not have one row per node or edge.
    """
    if edge_index.size and not (edge_index.min() >= 0 and edge_index.max() < nodes):
        raise ValueError(f"an edge of nodes {edge_index.min()} to {edge_index.max()} in a graph of {nodes}")
    edges = edge_index.shape[1]
    for name, array in arrays.items():
        due = nodes if name.startswith("node_") else edges
        if len(array) != due:
            raise ValueError(f"{name} has {len(array)} rows for a graph of {nodes} nodes and {edges} edges")
    content = npz({"edge_index": edge_index.astype(np.int32), **arrays})
    return Payload(content=content, format="npz", fields={"nodes": nodes, "edges": edges, **(fields or {})})


def npz(arrays: Mapping[str, Array]) -> bytes:
    """Arrays as npz, uncompressed: the same bytes whatever the machine, the day and the NumPy."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy", _EPOCH)
            entry.create_system = _UNIX
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, npy(np.ascontiguousarray(array, array.dtype.newbyteorder("<"))))
    return file.getvalue()
