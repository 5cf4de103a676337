"""Equal content is found within and across datasets, and a view can do without it, in-process and over HTTP alike."""

import json
import random
import shutil
import struct
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import ropeway
import tiny_store
from ropeway import duplicates, index
from ropeway import manifest as m
from ropeway.catalog import StoreCatalog
from ropeway.cli import make_app
from ropeway.content import compared, content_number
from ropeway.errors import QueryError, UsageError
from ropeway.stores import Store, open_store
from ropeway.twins import Pair, Twin, find
from ropeway.verify import verify
from ropeway_shardgen.pack import pack
from serving import serving
from shardgen_raw import png, recipe, write_raw

KINDS: dict[str, m.Kind] = {
    "image": "image", "image_raw": "image", "mask": "image", "skin": "image", "report": "text", "row": "table",
}  # fmt: skip
MASKS = [m.Task(id="lesion", type="segmentation", classes=("lesion",), target="mask")]
POLYNOMIAL = 0x9A6C9329AC4BC9B5
"""Of CRC-64/NVME, reflected (NVM Express NVM Command Set Specification, figure of the 64b CRC)."""


def crc64(content: bytes) -> int:
    """Bit by bit, as the specification says."""
    found = (1 << 64) - 1
    for byte in content:
        found ^= byte
        for _ in range(8):
            found = (found >> 1) ^ (POLYNOMIAL if found & 1 else 0)
    return found ^ ((1 << 64) - 1)


def number(contents: Mapping[str, bytes]) -> int | None:
    return content_number(contents, compared(KINDS, MASKS))


class TestContentNumber:
    """What a sample's content is known by."""

    @pytest.mark.parametrize("content", [b"", b"123456789", bytes(range(256))])
    def test_is_a_checksum_of_the_checksum_and_length(self, content: bytes) -> None:
        """Golden: it is stored."""
        outer = crc64(struct.pack("<QQ", crc64(content), len(content)))
        assert number({"image": content}) == struct.unpack("<q", struct.pack("<Q", outer))[0]

    def test_does_not_depend_on_names_and_order(self) -> None:
        one = number({"image": b"a", "skin": b"b"})
        assert number({"skin": b"a", "image": b"b"}) == one
        assert number({"image": b"a"}) == number({"skin": b"a"}) != one

    def test_leaves_out_tables_targets_originals_and_text_beside_other_content(self) -> None:
        plain = number({"image": b"a"})
        assert number({"image": b"a", "row": b"1", "mask": b"0", "image_raw": b"r", "report": b"normal"}) == plain
        assert number({"report": b"normal", "row": b"1"}) == number({"report": b"normal"}) is not None
        assert number({"row": b"1", "mask": b"0"}) is None

    @given(st.lists(st.binary(max_size=20), min_size=1, max_size=4), st.randoms())
    def test_is_equal_for_equal_content_only(self, contents: list[bytes], dice: random.Random) -> None:
        names = [f"p{place}" for place in range(len(contents))]
        kinds: dict[str, m.Kind] = dict.fromkeys(names, "signal")
        shuffled = contents.copy()
        dice.shuffle(shuffled)
        first = content_number(dict(zip(names, contents, strict=True)), kinds)
        assert content_number(dict(zip(names, shuffled, strict=True)), kinds) == first
        assert content_number(dict(zip(names, [*contents[:-1], contents[-1] + b"x"], strict=True)), kinds) != first
        assert first is not None
        assert -(1 << 63) <= first < 1 << 63


def table(rows: Sequence[tuple[str, int | None]]) -> pa.Table:
    keys, contents = zip(*rows, strict=True) if rows else ((), ())
    return pa.table({"key": pa.array(keys, pa.string()), "content": pa.array(contents, pa.int64())})


ROWS = st.lists(st.tuples(st.text("abcä", max_size=4), st.none() | st.integers(-3, 3)), max_size=12)


@given(st.lists(ROWS.map(lambda rows: list(dict(rows).items())), min_size=1, max_size=4))
def test_groups_and_firsts_are_what_a_dictionary_finds(given_rows: list[list[tuple[str, int | None]]]) -> None:
    tables = [table(rows) for rows in given_rows]
    seen: dict[int, list[tuple[int, bytes, int]]] = {}
    for place, rows in enumerate(given_rows):
        for at, (key, content) in enumerate(rows):
            if content is not None:
                seen.setdefault(content, []).append((place, key.encode(), at))
    expected = sorted(sorted(group) for group in seen.values() if len(group) > 1)
    assert [[(p.table, p.row) for p in group] for group in duplicates.groups(tables)] == [
        [(place, at) for place, _, at in group] for group in expected
    ]
    left_out = {(place, at) for group in expected for place, _, at in group[1:]}
    kept = duplicates.firsts(tables)
    for place, rows in enumerate(given_rows):
        assert kept[place].tolist() == [(place, at) not in left_out for at in range(len(rows))]


def two_datasets(store: Store) -> None:
    """`ham` and `isic`: picture i is `i`; isic repeats ham's 0 (train) and 3 (valid) in other splits, and its own 9."""
    ham = [sample(f"h{i}", f"{i}", "train" if i < 3 else "valid", note="benign") for i in range(5)]
    isic = [sample("z", "0", "train"), sample("y", "3", "test"), sample("x", "9", "train"), sample("a", "9", "train")]
    for name, given_samples in (("ham", ham), ("isic", isic)):
        tiny_store.build(store, name, given_samples, tasks=(), meta={})


def sample(key: str, picture: str, split: m.SplitName, note: str = "") -> tiny_store.Sample:
    parts = {"scan": ("bin", picture.encode() * 40), **({"note": ("txt", note.encode())} if note else {})}
    return tiny_store.Sample(key=key, parts=parts, split=split, subject=f"s{key}")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = open_store(tmp_path / "store")
    two_datasets(store)
    return store


@pytest.fixture
def numbered(store: Store) -> Store:
    """The same with content numbers in the indexes, as packing writes them."""
    for name in ("ham", "isic"):
        number_index(store, name)
    return store


def number_index(store: Store, dataset: str) -> None:
    found = StoreCatalog(store).manifest(dataset)
    rows = index.decode(store.read(f"{dataset}/{found.index[0].path}"))
    numbers = []
    for row in rows.to_pylist():
        shard = store.read(f"{dataset}/{row['shard']}")
        start = row["scan.offset"]
        numbers.append(content_number({"scan": shard[start : start + row["scan.length"]]}, {"scan": "signal"}))
    place = rows.schema.get_field_index("content")
    rewrite(store, found, rows.set_column(place, "content", pa.array(numbers, pa.int64())))


def rewrite(store: Store, found: m.Manifest, rows: pa.Table) -> None:
    import hashlib

    data = index.encode([rows])
    path = f"{found.dataset}/{found.index[0].path}"
    store.put(path, data)
    file = replace(found.index[0], bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    store.put(m.manifest_path(found.dataset, found.version), m.dumps(replace(found, index=(file,))))


def without_column(store: Store, dataset: str) -> None:
    """As an index was before there were content numbers."""
    found = StoreCatalog(store).manifest(dataset)
    rows = index.decode(store.read(f"{dataset}/{found.index[0].path}"))
    rewrite(store, found, rows.drop_columns(["content"]))


def keys(view: ropeway.View) -> list[str]:
    return [str(key) for key in view.table().keys.to_pylist()]


def test_a_distinct_view_keeps_the_first_by_dataset_and_key(numbered: Store) -> None:
    catalog = StoreCatalog(numbered)
    assert keys(catalog.query(distinct=True)) == ["h0", "h1", "h2", "h3", "h4", "a"]
    assert keys(catalog.query(datasets=["isic"], distinct=True)) == ["z", "a", "y"]
    assert keys(catalog.query(where="key <> 'h0'", distinct=True)) == ["h1", "h2", "h3", "h4", "z", "a"]
    assert catalog.query(datasets=["ham"], distinct=True).id == catalog.query(datasets=["ham"]).id
    view = catalog.query(distinct=True)
    assert view.columns(["key"]).column("key").to_pylist() == keys(view)
    assert view.id != catalog.query().id


def test_a_view_can_do_without_what_another_one_holds(numbered: Store) -> None:
    catalog = StoreCatalog(numbered)
    transfer, pretraining = catalog.query(datasets=["isic"], split="test"), catalog.query(datasets=["ham"])
    assert keys(pretraining.without(transfer)) == ["h0", "h1", "h2", "h4"]
    assert keys(transfer.without(catalog.query(datasets=["isic"], split="train"))) == ["y"]
    with pytest.raises(UsageError, match="nothing would be left"):
        transfer.without(pretraining)


def test_the_service_answers_the_same(numbered: Store, tmp_path: Path) -> None:
    with serving(str(tmp_path / "store")) as url:
        near, far = ropeway.connect(str(tmp_path / "store")), ropeway.connect(url)
        asks: list[dict[str, Any]] = [{"distinct": True}, {"distinct": True, "split": "train"}, {}]
        for asked in asks:
            one, other = near.query(**asked), far.query(**asked)
            assert other.info == one.info
            assert keys(other) == keys(one)
            assert far.view(one.id).info == one.info
        one, other = (catalog.query(datasets=["ham"]).without(catalog.query(split="test")) for catalog in (near, far))
        assert (one.id, keys(one)) == (other.id, keys(other))
        without_column(numbered, "isic")
    with serving(str(tmp_path / "store")) as url, pytest.raises(QueryError, match="distinct needs the content"):
        ropeway.connect(url).query(distinct=True)


def test_a_dataset_without_numbers_is_not_taken_for_distinct(numbered: Store) -> None:
    without_column(numbered, "isic")
    catalog = StoreCatalog(numbered)
    assert catalog.query(datasets=["ham"], distinct=True).samples == 5
    with pytest.raises(QueryError, match="pack it again, or leave it out") as caught:
        catalog.query(distinct=True)
    assert caught.value.dataset == "isic"


@pytest.mark.parametrize("old", [(), ("isic",), ("ham", "isic")])
def test_groups_within_and_across_datasets_are_reported(numbered: Store, old: tuple[str, ...]) -> None:
    """From the index where it has numbers, else from the shards."""
    for dataset in old:
        without_column(numbered, dataset)
    read: list[int] = []
    found = find(numbered, StoreCatalog(numbered).current(), read.append)
    assert (sum(read) > 0) == bool(old)
    assert found.groups == (
        (Twin("ham", "h0", "train"), Twin("isic", "z", "train")),
        (Twin("ham", "h3", "valid"), Twin("isic", "y", "test")),
        (Twin("isic", "a", "train"), Twin("isic", "x", "train")),
    )
    assert (found.samples, found.compared, found.repeated, found.leaks) == (9, 9, 3, 1)
    assert found.pairs == (
        Pair("ham/train", "isic/train", 1), Pair("ham/valid", "isic/test", 1), Pair("isic/train", "isic/train", 1),
    )  # fmt: skip


def test_the_command_tells_groups_and_fails_on_leaks(numbered: Store, tmp_path: Path) -> None:
    ask = ["verify", "--duplicates", "--store", str(tmp_path / "store")]
    run = CliRunner().invoke(make_app(), ask)
    assert run.exit_code == 1
    assert "3 groups hold the same, 1 groups in more than one split; distinct would leave out 3" in run.output
    assert "ham/valid/h3 = isic/test/y" in run.output
    told = json.loads(CliRunner().invoke(make_app(), [*ask, "--json"]).stdout)
    assert told["leaks"] == 1
    assert told["groups"][1] == [
        {"dataset": "ham", "key": "h3", "split": "valid"}, {"dataset": "isic", "key": "y", "split": "test"},
    ]  # fmt: skip
    assert CliRunner().invoke(make_app(), [*ask, "ham"]).exit_code == 0
    both = CliRunner().invoke(make_app(), [*ask, "--privacy"])
    assert isinstance(both.exception, UsageError)
    asked = ["query", "--distinct", "--json", "--store", str(tmp_path / "store")]
    assert json.loads(CliRunner().invoke(make_app(), asked).stdout)["samples"] == 6
    counted = CliRunner().invoke(make_app(), [*asked, "--by", "split"])
    assert isinstance(counted.exception, UsageError)


def test_packing_writes_the_numbers(tmp_path: Path) -> None:
    root, store = write_raw(tmp_path / "raw"), open_store(tmp_path / "store")
    shutil.copy(root / "images" / "0003.png", root / "images" / "0041.png")
    packed = pack(recipe(), root, store).manifest
    rows = {row["key"]: row["content"] for row in index.decode(store.read(f"tiny/{packed.index[0].path}")).to_pylist()}
    assert rows["0007"] == content_number({"image": png(7)}, {"image": "image"})
    assert rows["0003"] == rows["0041"]
    assert len(set(rows.values())) == 59
    found = find(store, [packed])
    assert [[twin.key for twin in group] for group in found.groups] == [["0003", "0041"]]


def test_verify_finds_a_number_that_is_not_the_contents(numbered: Store) -> None:
    manifest = StoreCatalog(numbered).manifest("ham")
    assert not verify(numbered, manifest).problems
    rows = index.decode(numbered.read(f"ham/{manifest.index[0].path}"))
    numbers = [7, *rows.column("content").to_pylist()[1:]]
    place = rows.schema.get_field_index("content")
    rewrite(numbered, manifest, rows.set_column(place, "content", pa.array(numbers, pa.int64())))
    problems = verify(numbered, StoreCatalog(numbered).manifest("ham")).problems
    assert len(problems) == 1
    assert "the content number differs from the content" in problems[0]
    assert "key h0" in problems[0]


def test_many_rows_are_grouped_quickly() -> None:
    contents = np.random.default_rng(0).integers(-(1 << 62), 1 << 62, 200_000)
    contents[:20_000] = contents[20_000:40_000]
    big = pa.table({"key": pa.array([f"{place:07}" for place in range(len(contents))]), "content": pa.array(contents)})
    kept = duplicates.firsts([big])[0]
    assert kept.sum() == 180_000
    assert kept[:20_000].all()
