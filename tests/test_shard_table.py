"""A view's shard table as columns: the same shards as one by one, over the wire too, and nothing else taken for one."""

import pickle
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
import urllib3
from hypothesis import given
from hypothesis import strategies as st

import packed
import ropeway
import tiny_store
from ropeway import shard_table, wire
from ropeway.errors import FormatError
from ropeway.samples import ShardRef
from ropeway.stores import open_store
from serving import serving

REFS = st.lists(
    st.builds(
        ShardRef,
        dataset=st.sampled_from(["d", "e-2"]),
        version=st.text("0123456789abcdef", min_size=12, max_size=12),
        path=st.text(st.characters(codec="utf-8")),
        bytes=st.integers(0, 1 << 50),
        sha256=st.text("0123456789abcdef", min_size=64, max_size=64),
    ),
    max_size=8,
)


@given(REFS, REFS)
def test_shards_are_the_same_as_one_by_one(some: list[ShardRef], more: list[ShardRef]) -> None:
    refs, table = [*some, *more], shard_table.together([some, shard_table.of_refs(more)])
    told = shard_table.unpack(shard_table.pack(table, [(0, 7)], [(0, 3), (3, 7)]))
    assert (told.pages, told.layouts) == ([(0, 7)], [(0, 3), (3, 7)])
    for one in (table, told.shards, pickle.loads(pickle.dumps(told.shards))):
        assert (len(one), list(one), [one[number] for number in range(len(refs))]) == (len(refs), refs, refs)
        assert one == refs
        assert one[1:3] == tuple(refs[1:3])
        assert shard_table.datasets(one).tolist() == [ref.dataset for ref in refs]
    assert table != [*refs, ShardRef("d", "0" * 12, "d/x.tar", 1, "0" * 64)]
    with pytest.raises(IndexError):
        table[len(refs)]


def changed(change: Callable[[pa.Table], pa.Table]) -> bytes:
    refs = [ShardRef("d", "0" * 12, "d/x.tar", 1, "0" * 64)]
    return wire.arrow_stream(change(pa.ipc.open_stream(shard_table.pack(refs, [(0, 1)], [])).read_all()))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"shards": []}',
        shard_table.pack([], [], [])[:-20],
        changed(lambda table: table.drop_columns(["sha256"])),
        changed(lambda table: table.replace_schema_metadata({b"pages": b"[[0, 1]]"})),
        changed(lambda table: table.replace_schema_metadata({b"pages": b"[[0, 1]]", b"layouts": b"none"})),
        changed(lambda table: table.set_column(3, "bytes", pa.array([None], pa.int64()))),
        changed(lambda table: table.set_column(3, "bytes", pa.array(["1"]))),
    ],
    ids=["nothing", "JSON", "cut short", "a column less", "no layouts", "no bounds", "a null", "another type"],
)
def test_what_is_no_shard_table_is_refused(content: bytes) -> None:
    with pytest.raises(FormatError, match="not a view's shard table"):
        shard_table.unpack(content)


def test_a_service_tells_the_same_as_columns_and_as_json(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    packed.publish(store, samples=200)
    tiny_store.build(store)
    with serving(str(tmp_path)) as url:
        view = ropeway.connect(url).query(where="age < 80")
        place = f"{url}/v1/views/{view.id}/shards"
        plain = urllib3.request("GET", place).json()
        answer = urllib3.request("GET", place, headers={"Accept": wire.ARROW})
        again = urllib3.request("GET", place, headers={"Accept": wire.ARROW, "If-None-Match": answer.headers["ETag"]})
    table = pa.ipc.open_stream(answer.data).read_all()  # as any reader of Arrow has it
    rows = [{**row, "sha256": row["sha256"].hex()} for row in table.to_pylist()]
    assert rows == plain["shards"]
    assert len(rows) > 1
    told = shard_table.unpack(answer.data)
    assert [[list(one) for one in bounds] for bounds in (told.pages, told.layouts)] == [
        plain["pages"],
        plain["layouts"],
    ]
    assert (answer.headers["Content-Type"], again.status) == (wire.ARROW, 304)
