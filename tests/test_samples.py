"""Columns of a view's samples, from index rows of one or more datasets."""

from dataclasses import replace

import numpy as np
import pyarrow as pa

from indexed import row
from ropeway import index, samples
from ropeway import manifest as m
from ropeway.samples import Samples, ShardRef

ONE = m.Task(id="cls", type="multiclass", classes=("a", "b", "c"))
MANY = m.Task(id="many", type="multilabel", classes=("a", "b", "c"))
NUMBER = m.Task(id="ef", type="regression")
TASKS = [ONE, MANY, NUMBER]
ROWS = [
    row(0, labels={"cls": 2, "many": [0, 2], "ef": 1.5}),
    row(1, parts=[], labels={"many": []}),
    row(2, labels={"cls": 0, "ef": -1.0}),
    row(3, split="test", labels={"cls": 0, "many": [2]}),
]


def shards(dataset: str) -> tuple[list[m.Shard], list[ShardRef]]:
    paths: list[tuple[str, m.SplitName]] = [
        ("0123456789ab/test-000000.tar", "test"),
        ("0123456789ab/train-000000.tar", "train"),
    ]
    stored = [m.Shard(path=path, split=split, bytes=9, samples=9, sha256="0" * 64) for path, split in paths]
    return stored, [ShardRef(dataset, "v", f"{dataset}/{shard.path}", 9, "0" * 64) for shard in stored]


def of(dataset: str, tasks: list[m.Task], rows: list[index.Row]) -> Samples:
    table = index.table(rows, index.schema(["x"], tasks, {}))
    stored, refs = shards(dataset)
    return samples.from_index(table, samples.shard_numbers(table.column("shard"), stored), refs, ["x", "other"], TASKS)


def test_columns_of_one_dataset() -> None:
    found = of("d", TASKS, ROWS)
    assert len(found) == 4
    assert found.shard.tolist() == [1, 1, 1, 0]
    assert found.offset.tolist() == [0, 1024, 2048, 3072]
    assert found.length.tolist() == [1024] * 4
    assert found.crc32c.tolist() == [0, 1, 2, 3]
    assert found.keys.to_pylist() == ["k0", "k1", "k2", "k3"]
    assert [column.tolist() for column in found.parts["x"]] == [[512, -1, 2560, 3584], [100, 0, 102, 103]]
    assert [column.tolist() for column in found.parts["other"]] == [[-1] * 4, [0] * 4]
    assert found.labels["cls"].tolist() == [2, -1, 0, 0]
    assert found.labels["many"].tolist() == [[1, 0, 1], [0, 0, 0], [-1, -1, -1], [0, 0, 1]]
    np.testing.assert_array_equal(found.labels["ef"], [1.5, np.nan, -1.0, np.nan])
    dtypes = {name: column.dtype.str for name, column in found.labels.items()}
    assert dtypes == {"cls": "<i4", "many": "|i1", "ef": "<f8"}


def test_labels_are_counted_by_class_name() -> None:
    found = of("d", TASKS, ROWS)
    assert samples.label_counts(found, ONE) == {"a": 2, "b": 0, "c": 1}
    assert samples.label_counts(found, MANY) == {"a": 1, "b": 0, "c": 2}


def test_datasets_are_joined_and_what_one_lacks_is_missing() -> None:
    one, other = of("d", TASKS, ROWS), of("e", [], [row(5), row(6, split="test")])
    refs = [*one.shards, *other.shards]
    bare = replace(other, shards=refs, shard=other.shard + np.int32(2), parts={"x": other.parts["x"]}, labels={})
    joined = samples.together([replace(one, shards=refs), bare], ["x", "other"], TASKS)
    assert [joined.shards[number].path for number in joined.shard] == [
        *["d/0123456789ab/train-000000.tar"] * 3,
        "d/0123456789ab/test-000000.tar",
        "e/0123456789ab/train-000000.tar",
        "e/0123456789ab/test-000000.tar",
    ]
    assert joined.shard.dtype == np.int32
    assert joined.keys.to_pylist() == ["k0", "k1", "k2", "k3", "k5", "k6"]
    assert joined.labels["cls"].tolist() == [2, -1, 0, 0, -1, -1]
    assert joined.labels["many"][4:].tolist() == [[-1] * 3] * 2
    assert np.isnan(joined.labels["ef"][4:]).all()
    assert samples.label_counts(joined, ONE) == {"a": 2, "b": 0, "c": 1}


def test_a_slice_is_what_it_says_and_copies_nothing() -> None:
    whole = of("d", TASKS, ROWS)
    piece = whole.slice(1, 3)
    assert len(piece) == 2
    assert piece.keys.to_pylist() == ["k1", "k2"]
    assert piece.labels["many"].tolist() == [[0, 0, 0], [-1, -1, -1]]
    assert piece.parts["x"][0].tolist() == [-1, 2560]
    for mine, theirs in ((piece.offset, whole.offset), (piece.labels["cls"], whole.labels["cls"])):
        assert np.shares_memory(mine, theirs)
    again = samples.together([whole.slice(0, 1), whole.slice(1, 4)], ["x", "other"], TASKS)
    assert again.keys.equals(whole.keys)
    np.testing.assert_array_equal(again.labels["ef"], whole.labels["ef"])


def test_no_rows_are_no_samples() -> None:
    found = of("d", TASKS, ROWS).slice(0, 0)
    assert len(found) == 0
    assert samples.label_counts(found, ONE) == {"a": 0, "b": 0, "c": 0}
    nothing, (stored, refs) = index.table([], index.schema(["x"], TASKS, {})), shards("d")
    numbers = samples.shard_numbers(nothing.column("shard"), stored)
    empty = samples.from_index(nothing, numbers, refs, ["x"], TASKS)
    assert empty.labels["many"].shape == (0, 3)
    assert isinstance(empty.keys, pa.StringArray)


def test_chunked_columns_are_whole() -> None:
    """The tables that DuckDB and several index files give come in pieces."""
    schema = index.schema(["x"], TASKS, {})
    table = pa.concat_tables(
        [index.table(ROWS[:1], schema), index.table(ROWS[1:3], schema), index.table(ROWS[3:], schema)]
    )
    stored, refs = shards("d")
    found = samples.from_index(table, samples.shard_numbers(table.column("shard"), stored), refs, ["x"], TASKS)
    assert found.labels["many"].tolist() == [[1, 0, 1], [0, 0, 0], [-1, -1, -1], [0, 0, 1]]
    assert found.shard.tolist() == [1, 1, 1, 0]
    assert found.keys.to_pylist() == ["k0", "k1", "k2", "k3"]
