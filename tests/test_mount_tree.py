"""The tree of a mount, without FUSE: keys, listings, names, formats, tables, and what every path is."""

import io
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiny_store
from ropeway.catalog import StoreCatalog
from ropeway.errors import ChecksumError, NotFound, UsageError
from ropeway.manifest import Part
from ropeway.mount.formats import Formats
from ropeway.mount.held import Spooled
from ropeway.mount.listing import Entry, Files, Folder, Names, SampleFolder
from ropeway.mount.names import folder_name, from_folder_name
from ropeway.mount.packed import PackedSamples
from ropeway.mount.shards import shard_paths
from ropeway.mount.sorted_keys import SortedKeys, byte_order
from ropeway.mount.source import Named, open_source
from ropeway.mount.stretches import Stretch, Stretches
from ropeway.mount.tree import Tree
from ropeway.query import Query
from ropeway.samples import ShardRef
from ropeway.stores import LocalStore

SEGMENT = st.text("ab-_0%Z", min_size=1, max_size=3)
KEYS = st.sets(st.lists(SEGMENT, min_size=1, max_size=3).map("/".join), max_size=30)


def sorted_keys(keys: list[str]) -> SortedKeys:
    column = pa.array(keys, pa.string())
    return SortedKeys(column, byte_order(column))


@given(KEYS, SEGMENT)
def test_a_key_is_found_at_its_row_and_no_other_is(keys: set[str], other: str) -> None:
    column = list(keys)
    found = sorted_keys(column)
    assert [found[place] for place in range(len(found))] == sorted(column, key=str.encode)
    for row, key in enumerate(column):
        assert found.row(key.encode()) == row
    assert (found.row(other.encode()) is None) == (other not in keys)
    assert len(found.within(f"{other}/".encode())) == sum(key.startswith(f"{other}/") for key in keys)


@given(st.text())
def test_folder_names_are_file_names_and_can_be_read_back(text: str) -> None:
    name = folder_name(text)
    assert name not in {"", ".", ".."}
    assert not {"/", "\0"} & set(name)
    assert from_folder_name(name) == text


def test_no_two_folder_names_stand_for_one_text() -> None:
    assert from_folder_name("a%2fb") is None  # as it is never written
    assert from_folder_name("50%") is None
    assert from_folder_name("%FF") is None
    assert from_folder_name("%") == ""


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    tiny_store.build(LocalStore(tmp_path))
    made = Tree(open_source(Named(str(tmp_path)), Query()), Stretches(64 << 20, 10), None, 10)
    yield made
    made.close()


def walk(tree: Tree, path: str) -> Iterator[str]:
    """All files below a folder of the tree."""
    for entry in folder(tree, path).entries():
        inner = f"{path.rstrip('/')}/{entry.name}"
        if entry.is_folder:
            yield from walk(tree, inner)
        else:
            yield inner


def folder(tree: Tree, path: str) -> Folder:
    found = tree.find(path)
    assert isinstance(found, Names | Files | SampleFolder)
    return found


def content(tree: Tree, path: str) -> bytes:
    found = tree.find(path)
    assert isinstance(found, Stretch | Spooled)
    return bytes(found.read(0, found.size))


def members(store: Path, split: str) -> dict[str, bytes]:
    """What a stock reader finds in the shards of a split."""
    found = {}
    for shard in sorted(store.glob(f"tiny/{tiny_store.VERSION}/{split}-*.tar")):
        with tarfile.open(shard) as archive:
            for member in archive:
                file = archive.extractfile(member)
                assert file is not None
                found[member.name] = file.read()
    return found


def test_samples_are_the_members_of_the_tars(tree: Tree, tmp_path: Path) -> None:
    for split in ("train", "valid", "test"):
        top = f"/samples/tiny/{split}"
        expected = members(tmp_path, split)
        assert {path.removeprefix(f"{top}/") for path in walk(tree, top)} == set(expected)
        for name, data in expected.items():
            assert content(tree, f"{top}/{name}") == data


def test_shards_are_the_tars(tree: Tree, tmp_path: Path) -> None:
    paths = list(walk(tree, "/shards"))
    assert len(paths) == len(list(tmp_path.glob("tiny/*/*.tar")))
    for path in paths:
        assert content(tree, path) == (tmp_path / path.removeprefix("/shards/")).read_bytes()


def test_labels_and_subjects_show_the_same_files(tree: Tree) -> None:
    given = tiny_store.samples()
    yes = {f"{s.split}/{s.key}.{part}.{form}" for s in given if s.labels.get("sick") == 1
           for part, (form, _) in s.parts.items()}  # fmt: skip
    assert {path.removeprefix("/by-label/sick/yes/tiny/") for path in walk(tree, "/by-label/sick/yes")} == yes
    several = {f"{s.split}/{s.key}.scan.bin" for s in given if 1 in (s.labels.get("findings") or ())}  # type: ignore[operator]
    found = {path.removeprefix("/by-label/findings/STTC/tiny/") for path in walk(tree, "/by-label/findings/STTC")}
    assert {path for path in found if path.endswith(".scan.bin")} == several
    mine = {f"{s.key}.{part}.{form}" for s in given if s.subject == "s7" for part, (form, _) in s.parts.items()}
    assert {path.removeprefix("/by-subject/tiny/s7/") for path in walk(tree, "/by-subject/tiny/s7")} == mine
    assert len(list(folder(tree, "/by-subject/tiny").entries())) == len({s.subject for s in given})


@pytest.mark.parametrize(
    "path",
    [
        "/nothing", "/manifest.json/x", "/samples/none", "/samples/tiny/all", "/samples/tiny/train/site-0/p%2E0000",
        "/samples/tiny/train/site-0/p%2E0000.note.txt",  # every fifth lacks it
        "/samples/tiny/train/site-0/p%2E0002.scan.txt", "/samples/tiny/train/site-0/p%2E0002.scan.bin/x",
        "/samples/tiny/valid/site-0/p%2E0002.scan.bin", "/samples/tiny/train/site", "/by-label/dose",
        "/by-label/sick/maybe", "/by-label/sick/yes/tiny/all", "/by-subject/tiny/s99",
        "/shards/tiny/0123456789ab/x.tar", "/tables/none.parquet", "/samples/tiny/train/\udcff.x.y",
    ],
)  # fmt: skip
def test_what_is_not_there_is_not_found(tree: Tree, path: str) -> None:
    with pytest.raises(NotFound):
        tree.find(path)


def test_a_listing_goes_on_after_any_entry(tree: Tree) -> None:
    for path in ("/", "/samples/tiny/train", "/samples/tiny/train/site-1", "/by-subject/tiny", "/shards/tiny",
                 "/by-label/findings"):  # fmt: skip
        listed = folder(tree, path)
        whole = list(listed.entries())
        assert len({entry.name for entry in whole}) == len(whole)
        for number, entry in enumerate(whole):
            assert list(listed.entries(entry.cursor)) == whole[number + 1 :]


@given(KEYS)
def test_keys_with_slashes_list_as_folders_do(keys: set[str]) -> None:
    column = list(keys)
    packed = _Bare(len(column))
    found = {}
    todo = [b""]
    while todo:
        at = todo.pop()
        for entry in SampleFolder(packed, sorted_keys(column), at).entries():  # type: ignore[arg-type]
            if entry.is_folder:
                todo.append(at + entry.name.encode() + b"/")
            else:
                found[(at + entry.name.encode()).decode()] = entry
    assert set(found) == {f"{key}.x.bin" for key in keys}


class _Bare:
    """As much of packed samples as a listing takes: one part that all have."""

    def __init__(self, count: int) -> None:
        self.parts = ["x"]
        self.formats = self

    def learn(self, rows: object) -> None:
        pass

    def files(self, row: int, name: str, first: int) -> Iterator[tuple[int, str]]:
        if first == 0:
            yield 0, f"{name}.x.bin"


def test_a_table_tells_labels_by_name(tree: Tree, tmp_path: Path) -> None:
    table = pq.read_table(io.BytesIO(content(tree, "/tables/tiny.parquet")))
    rows = {row["key"]: row for row in table.to_pylist()}
    for sample in tiny_store.samples():
        row = rows[sample.key]
        assert (row["split"], row["subject"]) == (sample.split, sample.subject)
        labels = sample.labels
        classes = ["sinus", "afib", "flutter"]
        assert row["task.rhythm"] == (classes[labels["rhythm"]] if labels else None)  # type: ignore[index]
        findings = [("MI", "STTC", "CD")[k] for k in labels["findings"]] if labels else None  # type: ignore[union-attr]
        assert row["task.findings"] == findings
        assert row["task.dose"] == labels.get("dose")
        assert row["meta.age"] == sample.meta.get("age")
        assert (row["note.offset"] is None) == ("note" not in sample.parts)
        with (tmp_path / row["shard"].removeprefix("shards/")).open("rb") as shard:
            shard.seek(row["scan.offset"])
            assert shard.read(row["scan.length"]) == sample.parts["scan"][1]


def test_parts_whose_formats_differ_tell_them_in_the_tar(tmp_path: Path) -> None:
    long = "a/" * 60 + "k"  # past what a header holds: the name is in a pax header before it
    given = [
        tiny_store.Sample(key=key, parts={"raw": (form, form.encode() * 300), "x": ("bin", b"x")})
        for key, form in (("k1", "dcm"), ("k2", "nii.gz"), (long, "png"))
    ]
    manifest = tiny_store.build(LocalStore(tmp_path), "tiny", given, tasks=(), meta={})
    parts = [Part(name="raw", kind="image", format=""), Part(name="x", kind="image", format="bin")]
    source = open_source(Named(str(tmp_path)), Query())
    packed = PackedSamples.of(source.open("tiny"), manifest, Stretches(64 << 20, 10), None)
    formats = Formats(parts, packed.table, packed.read)
    formats.learn(range(3))
    assert [formats.of("raw", row) for row in range(3)] == ["dcm", "nii.gz", "png"]
    assert formats.of("x", 0) == "bin"


def test_shards_of_other_versions_and_adopted_ones_have_paths_of_their_own() -> None:
    def ref(path: str) -> ShardRef:
        return ShardRef("d", "v2", path, 1, "")

    refs = [ref("d/v1/train-0.tar"), ref("d/v2/train-0.tar"), ref("s3://bucket/x/0.tar"), ref("s3://bucket/y/0.tar?a=b"),
            ref("d/v2/unused.tar")]  # fmt: skip
    assert shard_paths(refs, [0, 1, 2, 3]) == {
        "v1/train-0.tar": 0,
        "v2/train-0.tar": 1,
        "v2/x/0.tar": 2,
        "v2/y/0.tar": 3,
    }
    assert shard_paths(refs, [2]) == {"v2/0.tar": 2}


def test_a_source_is_a_place_or_with_a_store_an_id() -> None:
    view = "0123456789abcdef"
    assert Named.parse("s3://bucket/climb", None) == Named("s3://bucket/climb")
    assert Named.parse("./climb", "s3://other") == Named("./climb")
    assert Named.parse("ptb-xl", "s3://bucket/climb") == Named("s3://bucket/climb", name="ptb-xl")
    assert Named.parse("few-shot.v2", "s3://bucket/climb") == Named("s3://bucket/climb", name="few-shot.v2")
    assert Named.parse(view, "http://index:8080") == Named("http://index:8080", view=view)
    for each in (view, "few-shot.v2"):
        assert Named.parse(f"http://index:8080/v1/views/{each}", None) == Named("http://index:8080", view=each)
    with pytest.raises(UsageError, match="--store"):
        Named.parse("ptb-xl", None)


def test_a_source_may_be_one_dataset_and_part_of_it(tmp_path: Path) -> None:
    tiny_store.build(LocalStore(tmp_path), "one")
    tiny_store.build(LocalStore(tmp_path), "two")
    assert list(open_source(Named(str(tmp_path)), Query()).manifests) == ["one", "two"]
    assert list(open_source(Named(str(tmp_path / "two")), Query()).manifests) == ["two"]
    some = open_source(Named(str(tmp_path), name="one"), Query(split="valid", where="age >= 44"))
    tree = Tree(some, Stretches(64 << 20, 10), None, 10)
    old = [s for s in tiny_store.samples() if s.split == "valid" and int(s.meta.get("age") or 0) >= 44]
    keys = {f"{s.split}/{s.key}.scan.bin" for s in old}
    assert {p.removeprefix("/samples/one/") for p in walk(tree, "/samples") if p.endswith(".bin")} == keys
    tree.close()
    with pytest.raises(NotFound, match="no dataset and no saved view 'three'"):
        open_source(Named(str(tmp_path), name="three"), Query())
    with pytest.raises(NotFound, match="no view 0123456789abcdef is saved here"):
        open_source(Named(str(tmp_path), view="0123456789abcdef"), Query())


def test_a_saved_view_is_mounted_by_name_and_id_each_sample_once(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    tiny_store.build(store, "one", [s for s in tiny_store.samples() if s.labels.get("rhythm") != 2])
    tiny_store.build(store, "two", [s for s in tiny_store.samples() if s.labels.get("rhythm") == 2][:3])
    catalog = StoreCatalog(store)
    even = catalog.query(task="rhythm").balanced("rhythm")
    keys = {key.as_py() for key in even.table().keys}
    assert len(keys) < even.samples
    catalog.save(even, "even.v1")
    catalog.save(even.limit(1), "first")
    for source in ("even.v1", even.id):
        tree = Tree(open_source(Named.parse(source, str(tmp_path)), Query()), Stretches(64 << 20, 10), None, 10)
        files = [path.rpartition("/")[2] for path in walk(tree, "/samples") if path.endswith(".scan.bin")]
        assert sorted(files) == sorted(f"{key.rpartition('/')[2]}.scan.bin" for key in keys)
        tree.close()
    first = open_source(Named.parse("first", str(tmp_path)), Query())
    assert len(first.manifests) == 1  # the other dataset has no sample in it
    with pytest.raises(UsageError, match="leave conditions out"):
        open_source(Named.parse(even.id, str(tmp_path)), Query(split="train"))
    catalog.save(catalog.query(datasets=["one"]), "two")
    assert list(open_source(Named.parse("two", str(tmp_path)), Query()).manifests) == ["two"]  # datasets come first


def test_a_joined_view_is_refused(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    tiny_store.build(store, "one", namespace="n")
    parts = [replace(s, parts={f"other-{name}": part for name, part in s.parts.items()}) for s in tiny_store.samples()]
    tiny_store.build(store, "two", parts, tasks=(), namespace="n")
    catalog = StoreCatalog(store)
    joined = catalog.query(datasets=["one"]).join(catalog.query(datasets=["two"]), on=("subject", "age"))
    catalog.save(joined, "joined")
    with pytest.raises(UsageError, match="mount the views that were joined"):
        open_source(Named.parse("joined", str(tmp_path)), Query())


def test_a_missing_shard_is_told_as_such(tree: Tree, tmp_path: Path) -> None:
    for shard in tmp_path.glob("tiny/*/train-000000.tar"):
        shard.unlink()
    with pytest.raises(NotFound):
        content(tree, f"/shards/tiny/{tiny_store.VERSION}/train-000000.tar")


def test_a_dataset_whose_index_is_damaged_fails_alone_until_it_is_whole_again(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    tiny_store.build(store, "one")
    tiny_store.build(store, "two")
    index = tmp_path / f"two/{tiny_store.VERSION}/index/00000.parquet"
    whole = index.read_bytes()
    index.write_bytes(whole[:-100])
    tree = Tree(open_source(Named(str(tmp_path)), Query()), Stretches(64 << 20, 10), None, 10)
    tree.warm(10)
    assert len(list(walk(tree, "/samples/one"))) == len(list(walk(tree, "/by-subject/one")))
    with pytest.raises(ChecksumError):
        tree.find("/samples/two")
    index.write_bytes(whole)
    assert len(list(walk(tree, "/samples/two"))) == len(list(walk(tree, "/samples/one")))
    tree.close()


def test_entries_say_what_they_are() -> None:
    assert list(Files(["a/b", "a/c", "d"]).entries()) == [Entry("a", True, 1), Entry("d", False, 3)]
