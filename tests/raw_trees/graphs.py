"""Brain networks and molecules."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.io

from raw_trees import Expected, pseudonym, raw_tree

Floats = npt.NDArray[np.float64]


@raw_tree("abcd")
def abcd(root: Path) -> Expected:
    """Nine children, one without a sex (not the last, so that pairing by position would go wrong), one with a NaN."""
    ids = [f"NDARINV{letter * 8}" for letter in "ABCDEFGHJ"]
    stack = np.stack([symmetric(number, 4).astype(np.float32) for number in range(9)])
    stack[2, 1, :] = stack[2, :, 1] = np.nan
    np.save(root / "abcd_rest-pearson-HCP2016.npy", stack)
    (root / "ids_HCP2016.txt").write_text("".join(f"{name}\n" for name in ids))
    sexes = dict(zip(ids, "MFMFFMFMM", strict=True))
    (root / "id2sex.txt").write_text("id,sex\n" + "".join(f"{n},{s}\n" for n, s in sexes.items() if n != ids[3]))
    keys = [pseudonym("abcd", "subject", name) for name in ids]
    words = {"M": "male", "F": "female"}
    return Expected(
        splits={"train": 5, "valid": 2, "test": 2},
        subjects=9,
        labels={
            key: {"sex": None if name == ids[3] else words[sexes[name]]} for key, name in zip(keys, ids, strict=True)
        },
        parts={key: {"connectivity": matrix} for key, matrix in zip(keys, stack, strict=True)},
        meta={keys[2]: {"nodes": 4, "missing": 4, "symmetric": True, "sex": "M"}, keys[3]: {"missing": 0, "sex": None}},
    )


@raw_tree("abide")
def abide(root: Path) -> Expected:
    """Ten people of two sites; one region of one of them is flat. Of two more one has no file, another's is missing."""
    people = [("Pitt", 50003 + number) for number in range(4)] + [("NYU", 50952 + number) for number in range(6)]
    columns = "X,SUB_ID,SITE_ID,FILE_ID,DX_GROUP,AGE_AT_SCAN,SEX,FIQ,func_mean_fd"
    rows = [columns, "1,50002,PITT,no_filename,1,16.77,1,103,", "99,51606,NYU,NYU_0051606,2,29,2,110,0.07"]
    folder = root / "Outputs" / "cpac" / "filt_noglobal" / "rois_cc200"
    folder.mkdir(parents=True)
    parts, labels, keys = {}, {}, list[str]()
    for number, (site, person) in enumerate(people):
        name = f"{site}_{person:07}"
        group = 1 + number % 2
        rows.append(f"{number + 2},{person},{site.upper()},{name},{group},{24.45 + number},{group},-9999,0.116")
        series = np.round(np.random.default_rng(number).normal(size=(6 + number, 3)), 6)
        if number == 5:
            series[:, 1] = 0
        text = "#1\t#2\t#3\n" + "".join("\t".join(f"{value:.6f}" for value in row) + "\n" for row in series)
        (folder / f"{name}_rois_cc200.1D").write_text(text)
        keys.append(pseudonym("abide", "subject", str(person)))
        parts[keys[-1]] = {"timeseries": series.T}
        labels[keys[-1]] = {"autism": "autism" if group == 1 else "control"}
    (root / "Phenotypic_V1_0b_preprocessed1.csv").write_text("\n".join(rows) + "\n")
    return Expected(
        splits={"train": 8, "test": 2},
        subjects=10,
        labels=labels,
        parts=parts,
        meta={
            keys[0]: {"site": "PITT", "age": 24.45, "sex": "male", "iq": None, "times": 6, "flat": 0},
            keys[5]: {"flat": 1, "times": 11, "motion": 0.116},
        },
        skipped={"missing file": 1},
    )


@raw_tree("ppmi")
def ppmi(root: Path) -> Expected:
    """A MATLAB cell array of ten people, three views each; more of them ill than not, as there."""
    cells = np.empty((10, 1), object)
    for number in range(10):
        cells[number, 0] = np.stack([symmetric(3 * number + view, 5) for view in range(3)], axis=-1)
    cells[4, 0][0, 1, 2] += 1
    labels = np.array([1, 1, -1, 1, 1, 1, -1, 1, 1, -1], np.int16)[:, None]
    scipy.io.savemat(root / "PPMI.mat", {"X": cells, "label": labels}, do_compression=True)
    return Expected(
        splits={"train": 7, "valid": 1, "test": 2},
        subjects=10,
        labels={f"{row + 1:04}": {"parkinson": "parkinson" if labels[row, 0] == 1 else "control"} for row in range(10)},
        parts={f"{row + 1:04}": {"connectivity": cells[row, 0]} for row in range(10)},
        meta={"0001": {"nodes": 5, "symmetric": True}, "0005": {"symmetric": False}},
    )


@raw_tree("proteins")
def proteins(root: Path) -> Expected:
    """Twelve proteins: paths of 1 to 4 elements, edges in both directions; a path of one has no edge."""
    folder = root / "PROTEINS"
    folder.mkdir()
    sizes, first = (3, 2, 1, 4) * 3, 1
    edges, indicator, kinds, lengths = [], [], [], []
    parts: dict[str, dict[str, Any]] = {}
    for graph, size in enumerate(sizes, 1):
        own = [(node, node + 1) for node in range(size - 1)]
        both = [pair for a, b in own for pair in ((a, b), (b, a))]
        edges += [(first + a, first + b) for a, b in both]
        indicator += [graph] * size
        kinds.append([(graph + node) % 3 for node in range(size)])
        lengths.append([float(10 * graph + node) for node in range(size)])
        parts[f"{graph:04}"] = {
            "graph": {
                "edge_index": np.array(both, np.int32).reshape(-1, 2).T,
                "node_labels": np.array(kinds[-1], np.int64)[:, None],
                "node_attributes": np.array(lengths[-1])[:, None],
            }
        }
        first += size
    lines: dict[str, list[Any]] = {
        "A": [f"{a}, {b}" for a, b in edges],
        "graph_indicator": indicator,
        "graph_labels": [1, 2, 2, 1] * 3,
        "node_labels": [kind for own in kinds for kind in own],
        "node_attributes": [length for own in lengths for length in own],
    }
    for name, found in lines.items():
        (folder / f"PROTEINS_{name}.txt").write_text("".join(f"{line}\n" for line in found))
    return Expected(
        splits={"train": 7, "valid": 1, "test": 4},
        subjects=0,
        labels={"0001": {"enzyme": "enzyme"}, "0002": {"enzyme": "not enzyme"}, "0003": {"enzyme": "not enzyme"}},
        parts=parts,
        meta={"0003": {"nodes": 1, "edges": 0}, "0004": {"nodes": 4, "edges": 6}},
    )


@raw_tree("ppi")
def ppi(root: Path) -> Expected:
    """Two tissues to train on, one each to validate and test; a self-loop, nodes of the two interleaved."""
    tissues = {"train": [1, 2, 1, 2, 2], "valid": [21, 21], "test": [23, 23, 23]}
    parts: dict[str, dict[str, Any]] = {}
    for split, graphs in tissues.items():
        rng, graph_id = np.random.default_rng(len(graphs)), np.array(graphs)
        feats, labels = rng.normal(size=(len(graphs), 50)), rng.integers(0, 2, (len(graphs), 121))
        feats[0] = 0
        links = [(a, b) for a in range(len(graphs)) for b in range(a, len(graphs)) if graphs[a] == graphs[b]]
        network = {
            "directed": False,
            "multigraph": False,
            "graph": {},
            "nodes": [{"id": node} for node in range(len(graphs))],
            "links": [{"source": a, "target": b} for a, b in links],
        }
        (root / f"{split}_graph.json").write_text(json.dumps(network))
        for name, array in (("feats", feats), ("labels", labels), ("graph_id", graph_id)):
            np.save(root / f"{split}_{name}.npy", array)
        for graph in sorted(set(graphs)):
            nodes = [node for node in range(len(graphs)) if graphs[node] == graph]
            own = [(nodes.index(a), nodes.index(b)) for a, b in links if graphs[a] == graph]
            parts[f"{split}/{graph:02}"] = {
                "graph": {"edge_index": np.array(own, np.int32).T, "node_features": feats[nodes]},
                "labels": labels[nodes],
            }
    return Expected(
        splits={"train": 2, "valid": 1, "test": 1},
        subjects=0,
        parts=parts,
        meta={"train/01": {"nodes": 2, "edges": 3, "directed": False}, "test/23": {"nodes": 3, "edges": 6}},
    )


@raw_tree("ogbg-molhiv")
def ogbg_molhiv(root: Path) -> Expected:
    """Five molecules, one of a single atom; the official split is not in order."""
    sets = {"train": [4, 0, 2], "valid": [1], "test": [3]}
    return _ogb(root, sets, "scaffold", [0, 0, 1, 0, 1], ["inactive", "active"], "hiv-inhibition")


@raw_tree("ogbg-ppa")
def ogbg_ppa(root: Path) -> Expected:
    """Three networks without features of nodes."""
    classes = [f"taxon-{number:02}" for number in range(37)]
    return _ogb(root, {"train": [0], "valid": [2], "test": [1]}, "species", [36, 0, 7], classes, "taxonomic-group")


def _ogb(
    root: Path, sets: dict[str, list[int]], split: str, labels: list[int], classes: list[str], task: str
) -> Expected:
    """Rings of 3, 1, 4, 1, 5 nodes; molecules have features of nodes."""
    molecules, rng = split == "scaffold", np.random.default_rng(len(labels))
    tables: dict[str, list[Any]] = {name: [] for name in ("num-node-list", "num-edge-list", "edge", "edge-feat")}
    tables |= {"graph-label": [[label] for label in labels]} | ({"node-feat": []} if molecules else {})
    parts: dict[str, dict[str, Any]] = {}
    for number, nodes in zip(range(len(labels)), (3, 1, 4, 1, 5), strict=False):
        edges = [(node, (node + 1) % nodes) for node in range(nodes if nodes > 1 else 0)]
        graph: dict[str, Any] = {"edge_index": np.array(edges, np.int32).reshape(-1, 2).T}
        if molecules:
            graph["node_features"] = rng.integers(0, 9, (nodes, 9))
            graph["edge_features"] = rng.integers(0, 3, (len(edges), 3))
            tables["node-feat"] += graph["node_features"].tolist()
        else:
            graph["edge_features"] = rng.integers(0, 999, (len(edges), 7)).astype(np.float32) / np.float32(1000)
        tables["num-node-list"].append([nodes])
        tables["num-edge-list"].append([len(edges)])
        tables["edge"] += edges
        tables["edge-feat"] += [
            [f"{value:.3f}" if not molecules else value for value in r] for r in graph["edge_features"]
        ]
        parts[f"{number:06}"] = {"graph": graph}
    for folder, found in (
        ("raw", tables),
        (f"split/{split}", {name: [[g] for g in own] for name, own in sets.items()}),
    ):
        (root / folder).mkdir(parents=True)
        for name, lines in found.items():
            text = "".join(",".join(str(cell) for cell in line) + "\n" for line in lines)
            (root / folder / f"{name}.csv.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
    return Expected(
        splits={name: len(own) for name, own in sets.items()},
        subjects=0,
        labels={f"{number:06}": {task: classes[label]} for number, label in enumerate(labels)},
        parts=parts,
        meta={"000001": {"nodes": 1, "edges": 0}},
    )


def symmetric(seed: int, nodes: int) -> Floats:
    """A symmetric matrix with ones on its diagonal."""
    half = np.triu(np.random.default_rng(seed).uniform(-1, 1, (nodes, nodes)), 1)
    return np.asarray(half + half.T + np.eye(nodes))
