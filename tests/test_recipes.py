"""Every recipe, from its raw tree to a stream: checked, packed, verified, queried, streamed, and compared with the raw
files as another reader reads them."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ropeway
from raw_trees import Content, Expected, Frames, Tree, raw_trees
from raw_videos import decoded
from ropeway import index
from ropeway.catalog import StoreCatalog
from ropeway.errors import SourceError
from ropeway.manifest import Manifest, Task, object_path
from ropeway.privacy import lint
from ropeway.privacy_rules import Identifiers
from ropeway.questions import NONE
from ropeway.stores.local import LocalStore
from ropeway.verify import verify
from ropeway_shardgen.pack import pack
from ropeway_shardgen.plan import Settings, inspect
from ropeway_shardgen.recipe import load

TREES = raw_trees()


@pytest.mark.parametrize("name", TREES)
def test_raw_to_stream(name: str, tmp_path: Path) -> None:
    expected, store = made(name, TREES[name], tmp_path)
    catalog = StoreCatalog(store)
    manifest = catalog.manifest(name)
    assert not verify(store, manifest).problems
    assert not lint(store, manifest, Identifiers(())).counts
    assert {split.name: split.samples for split in manifest.splits} == dict(expected.splits)
    assert dict(manifest.provenance.skipped) == dict(expected.skipped)
    rows = index_rows(store, manifest)
    assert len({row["subject"] for row in rows.values()} - {None}) == expected.subjects
    for key, labels in expected.labels.items():
        for task, label in labels.items():
            assert (task, named(manifest.task(task), rows[key][f"task.{task}"])) == (task, label), key
    for key, meta in expected.meta.items():
        assert {column: rows[key][f"meta.{column}"] for column in meta} == dict(meta), key
    for key, parts in expected.parts.items():
        for part, content in parts.items():
            compare(store, manifest, rows[key], part, content)
    view = catalog.query(datasets=[name])
    batches = list(ropeway.StreamingLoader(view, 3, tail="pad"))
    keys = [key for batch in batches for key, real in zip(batch["__key__"], batch["__mask__"], strict=True) if real]
    assert sorted(keys) == sorted(rows)
    for asked in view.info.tasks:
        ask = ropeway.as_qa(view, asked.id)
        answers = {one.key: one.answer for batch in batches for one in ask(batch) if one}
        for key, labels in expected.labels.items():
            if asked.id in labels:
                assert (asked.id, answers.get(key)) == (asked.id, answer(labels[asked.id], asked)), key


@pytest.mark.parametrize("name", TREES)
def test_a_recipe_says_what_people_need(name: str) -> None:
    recipe = load(name)
    assert recipe.raw.get
    assert recipe.raw.folder
    assert recipe.card.citation or recipe.card.homepage


def made(name: str, tree: Tree, folder: Path) -> tuple[Expected, LocalStore]:
    """The tree packed into a store; where it has bad samples, after packing them has failed."""
    raw, store = folder / "raw", LocalStore(folder / "store")
    raw.mkdir()
    expected, recipe = tree(raw), load(name)
    if expected.skipped:
        with pytest.raises(SourceError):
            pack(recipe, raw, store)
        assert not (folder / "store" / name / "latest.json").exists()
    else:
        assert inspect(recipe, raw) == []
    pack(recipe, raw, store, Settings(on_error="skip" if expected.skipped else "raise"))
    return expected, store


def index_rows(store: LocalStore, manifest: Manifest) -> dict[str, dict[str, Any]]:
    """The index by key."""
    files = [store.read(object_path(manifest.dataset, file.path)) for file in manifest.index]
    return {row["key"]: row for file in files for row in index.decode(file).to_pylist()}


def named(task: Task | None, label: Any) -> Any:
    """A stored label as trees name it."""
    assert task is not None
    if isinstance(label, list) and any(position < 0 for position in label):
        unknown = [task.classes[-position - 1] for position in label if position < 0]
        return {"positive": task.named(label), "unknown": unknown}
    return task.named(label)


def answer(label: Any, task: Task) -> str | None:
    """What a question about a label is answered."""
    if isinstance(label, dict):
        return None if len(label["unknown"]) == len(task.classes) else answer(label["positive"], task)
    if isinstance(label, list):
        return ", ".join(label) or NONE
    return label if label is None or isinstance(label, str) else f"{label:g}"


def compare(store: LocalStore, manifest: Manifest, row: dict[str, Any], part: str, content: Content | None) -> None:
    start, length = row[f"{part}.offset"], row[f"{part}.length"]
    if content is None:
        assert start is None, (row["key"], part)
        return
    stored = bytes(store.read(object_path(manifest.dataset, row["shard"]), start, start + length))
    if isinstance(content, str):
        assert stored.decode() == content
    elif isinstance(content, bytes):
        assert stored == content
    elif isinstance(content, Frames):
        np.testing.assert_array_equal(decoded(stored), content.grey, strict=True)
    elif isinstance(content, Mapping):
        with np.load(io.BytesIO(stored), allow_pickle=False) as arrays:
            assert set(arrays.files) == set(content), (row["key"], part)
            for name, array in content.items():
                np.testing.assert_array_equal(arrays[name], array, strict=True)
    else:
        array = np.load(io.BytesIO(stored), allow_pickle=False)
        assert array.dtype == content.dtype, (row["key"], part)
        np.testing.assert_array_equal(array, content, strict=True)
