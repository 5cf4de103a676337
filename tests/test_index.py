"""The index: Parquet that anybody reads, one row per sample, row groups of whole shards."""

import io
from pathlib import Path
from typing import Any, cast

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexed import publish, row
from ropeway import index
from ropeway import manifest as m
from ropeway.errors import ChecksumError, FormatError
from ropeway.indexed import load_index
from ropeway.stores import open_store

TASKS = [
    m.Task(id="sex", type="binary", classes=("F", "M")),
    m.Task(id="rhythm", type="multiclass", classes=("SR", "AF", "PACE")),
    m.Task(id="findings", type="multilabel", classes=("a", "b", "c")),
    m.Task(id="ef", type="regression"),
]
META = {"age": "integer", "bmi": "number", "site": "string", "paced": "boolean"}
SCHEMA = index.schema(["x", "note"], TASKS, META)
ROWS = [
    row(0, subject="s1", parts=["x", "note"], labels={"sex": 1, "rhythm": 2, "findings": [0, 2], "ef": 55.5},
        meta={"age": 61, "bmi": 22.5, "site": "Ünï", "paced": True}),
    row(1, subject=None, parts=["x"], labels={"findings": []}, meta={"age": None}),
    row(2, subject="s2", parts=["note"], labels={"sex": 0, "findings": None}),
]  # fmt: skip


def test_the_columns_are_those_of_the_format() -> None:
    """Golden: other programs name them."""
    stored = pq.read_schema(io.BytesIO(index.encode([index.table(ROWS, SCHEMA)])))
    names = "dictionary<values=string, indices=int32, ordered=0>"
    assert [(column.name, str(column.type), column.nullable) for column in stored] == [
        ("key", "string", False), ("shard", names, False), ("offset", "int64", False), ("length", "int64", False),
        ("crc32c", "uint32", False), ("split", names, False), ("subject", "string", True),
        ("content", "int64", True),
        ("x.offset", "int64", True), ("x.length", "int64", True),
        ("note.offset", "int64", True), ("note.length", "int64", True),
        ("task.sex", "int32", True), ("task.rhythm", "int32", True), ("task.findings", "list<element: int32>", True),
        ("task.ef", "double", True),
        ("meta.age", "int64", True), ("meta.bmi", "double", True), ("meta.site", "string", True),
        ("meta.paced", "bool", True),
    ]  # fmt: skip


def test_duckdb_reads_it_with_plain_sql(tmp_path: Path) -> None:
    file = tmp_path / "00000.parquet"
    file.write_bytes(index.encode([index.table(ROWS, SCHEMA)]))
    sql = f"""
        SELECT key, shard, "offset", length, crc32c, split, subject, "x.offset", "x.length", "note.offset",
               "task.sex", "task.rhythm", "task.findings", "task.ef", "meta.age", "meta.bmi", "meta.site", "meta.paced"
        FROM '{file}'"""
    with duckdb.connect() as database:
        found = database.sql(sql).fetchall()
    shard = "0123456789ab/train-000000.tar"
    assert found == [
        ("k0", shard, 0, 1024, 0, "train", "s1", 512, 100, 512, 1, 2, [0, 2], 55.5, 61, 22.5, "Ünï", True),
        ("k1", shard, 1024, 1024, 1, "train", None, 1536, 101, None, None, None, [], None, None, None, None, None),
        ("k2", shard, 2048, 1024, 2, "train", "s2", None, None, 2560, 0, None, None, None, None, None, None, None),
    ]


def test_row_groups_hold_whole_shards_and_columns_are_compressed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "GROUP_ROWS", 4)
    tables = [index.table(ROWS, SCHEMA), index.table(ROWS[:1], SCHEMA), index.table(ROWS[1:], SCHEMA)]
    stored = pq.ParquetFile(io.BytesIO(index.encode(tables))).metadata
    assert [stored.row_group(number).num_rows for number in range(stored.num_row_groups)] == [4, 2]
    assert {stored.row_group(0).column(number).compression for number in range(stored.num_columns)} == {"ZSTD"}


def test_equal_rows_are_equal_bytes() -> None:
    assert index.encode([index.table(ROWS, SCHEMA)]) == index.encode([index.table(ROWS, SCHEMA)])


VALUES = st.tuples(
    st.none() | st.integers(-(2**31), 2**31), st.none() | st.floats(allow_nan=False), st.none() | st.text(),
    st.none() | st.booleans(), st.none() | st.lists(st.integers(0, 2), max_size=3), st.none() | st.text(),
)  # fmt: skip


@given(st.lists(VALUES, min_size=1, max_size=8))
def test_rows_come_back_as_they_were(values: list[tuple[object, ...]]) -> None:
    rows = [
        row(number, labels={"findings": findings}, subject=subject,  # type: ignore[arg-type, dict-item]
            meta={"age": age, "bmi": bmi, "site": site, "paced": paced})  # type: ignore[dict-item]
        for number, (age, bmi, site, paced, findings, subject) in enumerate(values)
    ]  # fmt: skip
    back = index.decode(index.encode([index.table(rows, SCHEMA)])).to_pylist()
    names = ("meta.age", "meta.bmi", "meta.site", "meta.paced", "task.findings", "subject")
    assert [tuple(found[name] for name in names) for found in back] == values
    assert [found["key"] for found in back] == [r.key for r in rows]


def test_an_index_without_shards_is_refused() -> None:
    with pytest.raises(FormatError, match="without shards"):
        index.encode([])


def parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def test_what_another_writer_stored_as_plain_strings_is_fine() -> None:
    table = index.table(ROWS, SCHEMA)
    for name in ("shard", "split"):
        table = table.set_column(table.schema.get_field_index(name), name, table.column(name).cast(pa.string()))
    assert index.decode(parquet(table)).column("shard").to_pylist() == [r.shard for r in ROWS]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.drop_columns(["crc32c", "key"]), "index lacks the columns key, crc32c"),
        (lambda t: t.set_column(2, "offset", t.column("offset").cast(pa.float64())),
         "index column offset is double, not int64"),
        (lambda t: t.set_column(0, "key", pa.array(["a", None, "b"])), "index column key has nulls"),
        (lambda t: t.set_column(1, "shard", pa.array(["a", None, "b"])), "index column shard has nulls"),
    ],
)  # fmt: skip
def test_a_wrong_column_is_named(change: object, says: str) -> None:
    assert callable(change)
    with pytest.raises(FormatError, match=says) as caught:
        index.decode(parquet(change(index.table(ROWS, SCHEMA))), url="file:///i.parquet")
    assert "file:///i.parquet" in str(caught.value)


@given(st.data())
def test_damage_is_a_format_error_and_nothing_else(data: st.DataObject) -> None:
    content = bytearray(index.encode([index.table(ROWS, SCHEMA)]))
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    else:  # the footer, which says where everything is
        content[data.draw(st.integers(max(0, len(content) - 3000), len(content) - 1))] ^= data.draw(st.integers(1, 255))
    assert "\n" not in said(bytes(content))


def said(content: bytes) -> str:
    try:
        index.decode(content)
    except FormatError as error:
        return str(error)
    return "it is fine"


def test_an_index_and_its_manifest_agree(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    manifest = publish(store, "d", ROWS, parts=["x", "note"], tasks=TASKS, meta=META)
    rows = load_index(store, manifest)
    assert rows.column("key").to_pylist() == ["k0", "k1", "k2"]
    for change, says in (
        (lambda t: t.drop_columns(["note.length"]), "index lacks the columns note.length"),
        (lambda t: t.drop_columns(["task.ef"]), "index lacks the columns task.ef"),
        (lambda t: t.slice(1), "index has 2 rows, the manifest 3 samples"),
        (lambda t: t.set_column(1, "shard", pa.array(["other.tar"] * 3)), "a shard that the manifest does not"),
        (lambda t: t.set_column(t.schema.get_field_index("task.sex"), "task.sex", pa.array(["F", "M", "F"])),
         "index column task.sex is string, not int32"),
    ):  # fmt: skip
        with pytest.raises(FormatError, match=says) as caught:
            index.check(cast("Any", change)(rows), manifest)
        assert "dataset d" in str(caught.value)


def test_a_changed_index_file_is_found_before_it_answers(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    manifest = publish(store, "d", ROWS, parts=["x", "note"], tasks=TASKS, meta=META)
    other = index.encode([index.table([*ROWS[:2], row(7)], SCHEMA)])
    store.put("d/0123456789ab/index/00000.parquet", other)
    with pytest.raises(ChecksumError, match="sha256 of the index file differs") as caught:
        load_index(store, manifest)
    assert "index/00000.parquet" in str(caught.value)
