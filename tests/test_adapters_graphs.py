"""Adapters of graphs and connectivity: values against an independent reading, and bad files refused."""

import gzip
import io
import json
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st

from adapter_reading import beside, read, read_all, rows
from ropeway.decoders.arrays import decode_npz
from ropeway_shardgen.adapters import Payload, ogb_graph
from ropeway_shardgen.adapters.opened import close_all
from ropeway_shardgen.adapters.roi_series import pearson
from ropeway_shardgen.formats.graph import graph_payload, npz

Write = Callable[[str], Path]


def array(payload: Payload) -> np.ndarray[Any, Any]:
    values: np.ndarray[Any, Any] = np.load(io.BytesIO(payload.content), allow_pickle=False)
    assert (values.dtype.str, values.shape, values.ndim) == (payload.dtype, payload.shape, len(payload.axes))
    return values


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


# npz


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=20))
@settings(max_examples=50, deadline=None)
def test_a_graph_is_read_back_by_numpy_and_by_the_client(edges: list[tuple[int, int]]) -> None:
    index_ = np.array(edges, np.int64).reshape(-1, 2).T
    features = np.arange(14, dtype=">f4").reshape(7, 2)
    payload = graph_payload(7, index_, {"node_features": features}, {"directed": True})
    assert payload.fields == {"nodes": 7, "edges": len(edges), "directed": True}
    with np.load(io.BytesIO(payload.content), allow_pickle=False) as arrays:
        assert arrays["edge_index"].dtype == np.int32
        np.testing.assert_array_equal(arrays["edge_index"], index_)
        np.testing.assert_array_equal(arrays["node_features"], features)
    decoded = decode_npz(memoryview(payload.content))
    assert set(decoded) == {"edge_index", "node_features"}


def test_an_npz_is_always_the_same_bytes() -> None:
    first = npz({"edge_index": np.zeros((2, 3), np.int32)})
    assert first == npz({"edge_index": np.zeros((2, 3), np.int32)})
    with zipfile.ZipFile(io.BytesIO(first)) as archive:
        entry = archive.infolist()[0]
    assert (entry.date_time, entry.compress_type, entry.create_system) == ((1980, 1, 1, 0, 0, 0), 0, 3)


def test_graphs_that_contradict_themselves() -> None:
    edge = np.array([[0], [3]])
    with pytest.raises(ValueError, match="an edge of nodes 0 to 3 in a graph of 3"):
        graph_payload(3, edge, {})
    with pytest.raises(ValueError, match="node_labels has 2 rows for a graph of 4 nodes and 1 edges"):
        graph_payload(4, edge, {"node_labels": np.zeros(2)})


# tu-graph


def test_tu_graphs(raw_folder: Write) -> None:
    edges = raw_folder("proteins") / "PROTEINS" / "PROTEINS_A.txt"
    found = rows("tu-graph", edges)
    assert found[3] == {"graph": 4, "nodes": 4, "edges": 6, "label": "1"}
    assert beside("tu-graph", edges) == [
        "PROTEINS_graph_indicator.txt",
        "PROTEINS_graph_labels.txt",
        "PROTEINS_node_attributes.txt",
        "PROTEINS_node_labels.txt",
    ]


def test_tu_edge_labels_and_no_edges_at_all(tmp_path: Path) -> None:
    for name, text in {
        "A": "3, 4\n4, 3\n1, 2\n",
        "graph_indicator": "1\n1\n2\n2\n",
        "edge_labels": "7\n8\n9\n",
        "edge_attributes": "0.5, 1\n0.25, 2\n0.125, 3\n",
    }.items():
        (tmp_path / f"X_{name}.txt").write_text(text)
    assert rows("tu-graph", tmp_path / "X_A.txt")[1] == {"graph": 2, "nodes": 2, "edges": 2, "label": None}
    with np.load(io.BytesIO(read("tu-graph", tmp_path / "X_A.txt", {"graph": 2}).content)) as arrays:
        assert arrays["edge_index"].tolist() == [[0, 1], [1, 0]]
        assert arrays["edge_labels"].tolist() == [[7], [8]]
        assert arrays["edge_attributes"].tolist() == [[0.5, 1], [0.25, 2]]
    close_all()
    for name in ("A", "edge_labels", "edge_attributes"):
        (tmp_path / f"X_{name}.txt").write_text("")
    assert [row["edges"] for row in rows("tu-graph", tmp_path / "X_A.txt")] == [0, 0]


@pytest.mark.parametrize(
    ("file", "old", "new", "problem"),
    [
        ("A", "1, 2\n", "1, 99\n", "not one of pairs of nodes from 1 to 30"),
        ("A", "1, 2\n", "1, 4\n", "an edge leads from one graph into another"),
        ("A", "1, 2\n", "1\n", "number of columns changed"),
        ("graph_labels", "1\n2\n2\n1\n1\n", "1\n1\n", "names a graph that is not one of 9"),
        ("node_labels", "1\n2\n0\n", "1\n2\n", "has 29 lines where 30 are due"),
        ("node_attributes", "10.0\n", "ten\n", "could not convert string 'ten'"),
    ],
)
def test_bad_tu_collections(raw_folder: Write, file: str, old: str, new: str, problem: str) -> None:
    folder = raw_folder("proteins") / "PROTEINS"
    path = folder / f"PROTEINS_{file}.txt"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(ValueError, match=problem):
        read_all("tu-graph", folder / "PROTEINS_A.txt")


def test_other_files_are_no_collection(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"does not end with _A\.txt"):
        rows("tu-graph", tmp_path / "X.txt")
    with pytest.raises(ValueError, match=r"does not end with _graph\.json"):
        rows("node-link", tmp_path / "X.json")


# node-link


def test_node_link_graphs_hold_the_links_of_their_nodes(raw_folder: Write) -> None:
    path = raw_folder("ppi") / "train_graph.json"
    links = [(link["source"], link["target"]) for link in json.loads(path.read_text())["links"]]
    graph_id = np.load(path.with_name("train_graph_id.npy"))
    for row in rows("node-link", path):
        nodes = np.flatnonzero(graph_id == row["graph"])
        with np.load(io.BytesIO(read("node-link", path, row).content)) as arrays:
            edges = [tuple(nodes[pair].tolist()) for pair in arrays["edge_index"].T]
        assert edges == [link for link in links if graph_id[link[0]] == row["graph"]]
        assert row["nodes"] == len(nodes)
    assert beside("node-link", path) == ["train_feats.npy", "train_graph_id.npy", "train_labels.npy"]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('{"id": 0}', '{"id": 7}', "are not the 5 rows of the arrays"),
        ('"target": 2', '"target": 9', "a link to a node that is none of 5"),
        ('"target": 2', '"target": 1', "a link from one graph into another"),
        ('"links"', '"edges"', "missing required field `links`"),
        ('"nodes": [', '"nodes": ', "JSON is malformed|Expected"),
    ],
)
def test_bad_node_link_graphs(raw_folder: Write, old: str, new: str, problem: str) -> None:
    path = raw_folder("ppi") / "train_graph.json"
    change(path, old, new)
    with pytest.raises(ValueError, match=problem):
        read("node-link", path, {"graph": 1})


def test_arrays_that_do_not_fit_a_node_link_graph(raw_folder: Write) -> None:
    path = raw_folder("ppi") / "test_graph.json"
    np.save(path.with_name("test_feats.npy"), np.zeros((2, 50)))
    with pytest.raises(ValueError, match=r"feats are of shape \(2, 50\) where 3 nodes have a graph"):
        read("node-link", path, {"graph": 23})
    np.save(path.with_name("test_labels.npy"), np.array([{}, {}, {}]))
    with pytest.raises(ValueError, match="unpickled"):
        read("node-link", path, {"graph": 23}, content="labels")
    close_all()
    np.save(path.with_name("test_graph_id.npy"), np.zeros((3, 1)))
    with pytest.raises(ValueError, match="the graph ids are float64 of shape"):
        rows("node-link", path)


# roi-series


@given(st.integers(2, 30), st.integers(1, 6), st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_pearson_is_numpys(times: int, regions: int, seed: int) -> None:
    series = np.random.default_rng(seed).normal(size=(times, regions))
    np.testing.assert_allclose(pearson(series), np.atleast_2d(np.corrcoef(series.T)), atol=1e-12)


def test_pearson_of_flat_regions_is_unknown() -> None:
    series = np.array([[0.1, 1, 2], [0.1, 2, 1], [0.1, 4, 5]])
    assert np.isnan(pearson(series)).tolist() == [[True, True, True], [True, False, False], [True, False, False]]


def test_roi_series(tmp_path: Path) -> None:
    (tmp_path / "a.1D").write_text("#2001\t#2002\n1.5\t2\n-1e-3\t4\n0\t6\n")
    payload = read("roi-series", tmp_path / "a.1D")
    np.testing.assert_array_equal(array(payload), [[1.5, -1e-3, 0], [2, 4, 6]])
    assert (payload.axes, payload.channels) == (("region", "time"), ("2001", "2002"))
    assert payload.fields == {"times": 3, "regions": 2, "flat": 0}
    assert array(read("roi-series", tmp_path / "a.1D", content="pearson")).shape == (2, 2)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "not a table of numbers"),
        ("#1\t#2\n", "not a table of numbers"),
        ("#1\t#2\n1\t2\n3\n", "cut short: its lines are not equally long"),
        ("#1\n1\t2\n", "1 labels over 2 columns"),
        ("#1\nx\n", "could not convert string to float"),
        ("\u00e9\n", "ascii"),
    ],
)
def test_bad_roi_series(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "a.1D").write_text(text)
    with pytest.raises(ValueError, match=problem):
        read("roi-series", tmp_path / "a.1D")


# connectivity


def test_matrices_of_a_stack_are_read_one_by_one(tmp_path: Path) -> None:
    stack = np.asfortranarray(np.random.default_rng(0).normal(size=(3, 4, 4)))
    np.save(tmp_path / "a.npy", stack)
    (tmp_path / "ids.txt").write_text("A\r\nB\r\nC\r\n")
    found = rows("connectivity", tmp_path / "a.npy", ids="ids.txt")
    assert found == [{"row": 1, "id": "A"}, {"row": 2, "id": "B"}, {"row": 3, "id": "C"}]
    np.testing.assert_array_equal(array(read("connectivity", tmp_path / "a.npy", {"row": 2})), stack[1])
    assert beside("connectivity", tmp_path / "a.npy", ids="ids.txt") == ["ids.txt"]
    assert beside("connectivity", tmp_path / "a.npy") == []


def test_as_many_identifiers_as_matrices(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((3, 2, 2)))
    (tmp_path / "ids.txt").write_text("A\nB\n")
    with pytest.raises(ValueError, match="2 of 'id' for 3 matrices"):
        rows("connectivity", tmp_path / "a.npy", ids="ids.txt")


def test_bad_stacks(tmp_path: Path) -> None:
    np.save(tmp_path / "flat.npy", np.zeros((3, 2)))
    np.save(tmp_path / "wide.npy", np.zeros((3, 2, 5)))
    np.save(tmp_path / "objects.npy", np.array([[[{}]]]))
    np.save(tmp_path / "whole.npy", np.zeros((3, 2, 2)))
    (tmp_path / "cut.npy").write_bytes((tmp_path / "whole.npy").read_bytes()[:-8])
    huge = {"descr": "<f8", "fortran_order": False, "shape": (10**9, 10**4, 10**4)}
    with (tmp_path / "huge.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, huge)
    for name, problem in {
        "flat": "is no stack of matrices",
        "wide": r"shape \(2, 5\) is not a matrix of nodes by nodes",
        "objects": "Python objects|unpickled",
        "cut": "cut short: 216 bytes, 224 are needed",
        "huge": "cut short",
    }.items():
        with pytest.raises(ValueError, match=problem):
            read("connectivity", tmp_path / f"{name}.npy", {"row": 1})


def test_cells_of_a_matlab_file(raw_folder: Write) -> None:
    path = raw_folder("ppmi") / "PPMI.mat"
    assert rows("connectivity", path, variable="X", labels=["label"])[2] == {"row": 3, "label": -1}
    payload = read("connectivity", path, {"row": 3}, variable="X")
    assert (payload.dtype, payload.shape, payload.axes) == ("<f8", (5, 5, 3), ("node", "node", "view"))


def test_bad_matlab_files(tmp_path: Path) -> None:
    cells = np.empty(2, object)
    cells[:] = [np.zeros((2, 2)), np.zeros((2, 2))]
    scipy.io.savemat(tmp_path / "a.mat", {"X": cells, "label": [1.5, 2], "long": [1, 2, 3], "plain": np.zeros((2, 2))})
    for options, problem in (
        ({"variable": "Y"}, "there is no variable 'Y'; there is: X, label, long, plain"),
        ({"variable": "plain"}, "no cell array"),
        ({"variable": "X", "labels": ["label"]}, "holds other than whole numbers"),
        ({"variable": "X", "labels": ["long"]}, "3 of 'long' for 2 matrices"),
    ):
        with pytest.raises(ValueError, match=problem):
            rows("connectivity", tmp_path / "a.mat", **options)
    (tmp_path / "cut.mat").write_bytes((tmp_path / "a.mat").read_bytes()[:200])
    with pytest.raises((ValueError, TypeError, OSError)):
        rows("connectivity", tmp_path / "cut.mat", variable="X")


# ogb-graph


@pytest.mark.parametrize("order", [range(5), (4, 0, 3, 1, 2), (2, 2, 0)])
def test_ogb_graphs_in_any_order_and_from_blocks_of_any_size(
    raw_folder: Write, monkeypatch: pytest.MonkeyPatch, order: Iterable[int]
) -> None:
    monkeypatch.setattr(ogb_graph, "_BLOCK", 40)
    path = raw_folder("ogbg-molhiv") / "raw" / "num-node-list.csv.gz"
    features = np.loadtxt(path.with_name("node-feat.csv.gz"), delimiter=",", dtype=np.int64)
    first = np.concatenate([[0], np.cumsum(np.loadtxt(path, dtype=np.int64))])
    for number in order:
        with np.load(io.BytesIO(read("ogb-graph", path, {"graph": number}, features="int64").content)) as arrays:
            np.testing.assert_array_equal(arrays["node_features"], features[first[number] : first[number + 1]])


@pytest.mark.parametrize(
    ("table", "text", "problem"),
    [
        ("edge", "0,1\n", r"edge\.csv\.gz ends too early"),
        ("edge", "0,9\n" * 12, "an edge of nodes 0 to 9 in a graph of 3"),
        ("node-feat", "x,1\n", "conversion error to int64"),
        ("graph-label", "0\n1\n", "2 labels for 5 graphs"),
        ("num-edge-list", "3\n0\n", "5 numbers of nodes, 2 of edges"),
        ("num-edge-list", "3\n0\n4\n-1\n5\n", "a number below zero"),
    ],
)
def test_bad_ogb_tables(raw_folder: Write, table: str, text: str, problem: str) -> None:
    path = raw_folder("ogbg-molhiv") / "raw" / "num-node-list.csv.gz"
    path.with_name(f"{table}.csv.gz").write_bytes(gzip.compress(text.encode()))
    with pytest.raises(ValueError, match=problem):
        read_all("ogb-graph", path, features="int64")
