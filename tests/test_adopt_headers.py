"""Adopting by headers alone: the same samples in the same places, a fraction of the bytes, and no checksums."""

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import foreign
import range_server
import ropeway
from ropeway import index, wire
from ropeway.adopt import HEADERS, THROUGH, Broken, adopt, reading
from ropeway.adopt.rules import CardRules, MetaRules, Rules, TaskRules
from ropeway.adopt.sources import FIRST, WORTH, Skimmed
from ropeway.catalog import StoreCatalog
from ropeway.errors import FormatError
from ropeway.manifest import NO_SHA256, Manifest, object_path
from ropeway.mount.source import Named, open_source
from ropeway.mount.stretches import Stretches
from ropeway.mount.tree import Tree
from ropeway.query import Query
from ropeway.stores import Store, open_store
from ropeway.verify import verify
from serving import serving

LABELS = Rules(
    tasks={"digit": TaskRules(from_="cls")},
    meta={"age": MetaRules(from_="json.age")},
    card=CardRules(licence="CC0-1.0", access="open"),
)


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    return foreign.write_shards(tmp_path / "raw", 3)


def rows_of(store: Store, manifest: Manifest) -> pa.Table:
    return pa.concat_tables(
        index.decode(store.read(object_path(manifest.dataset, file.path))) for file in manifest.index
    )


def skimmed(store: Store, path: Path) -> Manifest:
    return adopt(store, "foreign", {"train": [f"{path}/*.tar"]}, LABELS, manner=HEADERS).manifest


def test_all_but_the_checksums_is_as_it_is_when_every_byte_is_read(shards: Path, tmp_path: Path) -> None:
    odd = [("a.jpg", foreign.jpeg(1)), ("a.cls", b"1"), ("a.json", b'{"age": 3}'), ("b.ecg.npy", b"no array")]
    foreign.write_members(shards / "x-003.tar", odd)
    store = open_store(tmp_path / "store")
    made = [adopt(store, f"by-{manner.name}", {"train": [f"{shards}/*.tar"]}, LABELS, manner=manner).manifest
            for manner in (THROUGH, HEADERS)]  # fmt: skip
    through, headers = (rows_of(store, manifest) for manifest in made)
    assert through.drop_columns(["crc32c", "content"]).equals(headers.drop_columns(["crc32c", "content"]))
    assert headers.column("crc32c").null_count == headers.column("content").null_count == len(headers)
    assert (made[0].parts, made[0].tasks, made[0].splits) == (made[1].parts, made[1].tasks, made[1].splits)
    assert made[0].version != made[1].version


def test_samples_stream_and_are_counted_as_unchecked(shards: Path, tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    skimmed(store, shards)
    adopt(store, "checked", {"train": [f"{shards}/x-000.tar"]}, LABELS)
    path = shards / "x-001.tar"
    content = bytearray(path.read_bytes())
    content[content.index(foreign.ecg(12).tobytes()) + 3] ^= 1
    path.write_bytes(content)
    loader = ropeway.StreamingLoader(StoreCatalog(store).query(), 4, parts=["ecg"])
    found = {key: ecg for batch in loader for key, ecg in zip(batch["__key__"], batch["ecg"], strict=True)}
    assert len(found) == 30
    assert {key for key, ecg in found.items() if not np.array_equal(ecg, foreign.ecg(int(key)))} == {"00012"}
    assert loader.stats().unchecked == 30
    assert loader.stats().samples == 40


def test_a_service_tells_them_and_gives_their_bytes(shards: Path, tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    skimmed(store, shards)
    with serving(str(tmp_path / "store")) as url:
        loader = ropeway.StreamingLoader(ropeway.connect(url).query(), 10, parts=["ecg"])
        found = {key: ecg for batch in loader for key, ecg in zip(batch["__key__"], batch["ecg"], strict=True)}
    assert len(found) == 30
    for key, ecg in found.items():
        np.testing.assert_array_equal(ecg, foreign.ecg(int(key)))
    assert loader.stats().unchecked == 30


def test_a_missing_checksum_is_zero_on_the_wire_and_null_in_a_mounts_table(shards: Path, tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    skimmed(store, shards)
    table = StoreCatalog(store).query().table()
    assert wire.unpack_columns(wire.pack_samples(table))["crc32c"].tolist() == [0] * 30
    tree = Tree(open_source(Named(str(tmp_path / "store")), Query()), Stretches(64 << 20, 10), None, 10)
    file = tree.find("/tables/foreign.parquet")
    told = pq.read_table(pa.BufferReader(file.read(0, file.size)))  # type: ignore[union-attr]
    assert told.column("crc32c").null_count == 30
    tree.close()


def test_verify_checks_what_there_is_to_check(shards: Path, tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    manifest = skimmed(store, shards)
    assert {shard.sha256 for shard in manifest.shards} == {NO_SHA256}
    sound = verify(store, manifest)
    assert (sound.problems, sound.unchecked) == ((), 30)
    path = shards / "x-002.tar"
    path.write_bytes(foreign.write_shard(tmp_path / "other.tar", range(20, 30), key="longer/{:05d}").read_bytes())
    assert verify(store, manifest).problems == ()  # in the same places, something else: nothing here can tell
    foreign.write_members(path, [("20.jpg", bytes(path.stat().st_size - 2048))])
    assert "index and tar differ in where its parts lie" in "\n".join(verify(store, manifest).problems)


def test_an_index_of_packed_shards_has_no_missing_checksum(shards: Path, tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    manifest = adopt(store, "foreign", {"train": [f"{shards}/*.tar"]}, LABELS).manifest
    rows = rows_of(store, manifest)
    place = rows.schema.get_field_index("crc32c")
    with pytest.raises(FormatError, match="lacks checksums"):
        index.check(rows.set_column(place, "crc32c", pa.nulls(30, pa.uint32())), manifest)


def test_of_large_members_little_is_read_and_small_ones_take_few_requests(bucket: str, tmp_path: Path) -> None:
    theirs = open_store(f"s3://{bucket}/public")
    large = [(f"{i}.{field}", content) for i in range(4) for field, content in (
        ("json", foreign.note({"age": i})), ("volume.npy", _volume(i)), ("cls", b"%d" % (i % 2)))]  # fmt: skip
    small = [(f"{i:04d}.{field}", content) for i in range(400) for field, content in (
        ("jpg", bytes(20_000)), ("cls", b"1"), ("json", b'{"age": 7}'))]  # fmt: skip
    for name, members in (("large", large), ("small", small)):
        theirs.put(f"{name}.tar", foreign.write_members(tmp_path / f"{name}.tar", members))
    store = open_store(tmp_path / "store")
    done = {name: adopt(store, name, {"train": [f"s3://{bucket}/public/{name}.tar"]}, LABELS, manner=HEADERS)
            for name in ("large", "small")}  # fmt: skip
    assert done["large"].requests == 1 + 4  # one for the first header, one behind each volume
    assert done["large"].read <= 5 * FIRST
    assert done["large"].manifest.bytes > 4 * (2 << 20)
    assert [part.shape for part in done["large"].manifest.parts if part.name == "volume"] == [(1 << 20,)]
    assert done["small"].requests <= 8
    assert done["small"].read <= done["small"].manifest.bytes
    view = StoreCatalog(store).query(datasets=["large"], task="digit", where="age >= 2")
    [batch] = ropeway.NumpyLoader(view, 2, parts=["volume"])
    assert {key: int(volume[5]) for key, volume in zip(batch["__key__"], batch["volume"], strict=True)} == {
        "2": 2,
        "3": 3,
    }


def _volume(number: int) -> bytes:
    header = np.lib.format.header_data_from_array_1_0(np.empty(1 << 20, "<i2"))
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + bytes(np.full(1 << 20, number, "<i2").data)


def test_broken_shards_are_named_as_they_are_when_read_through(shards: Path, tmp_path: Path) -> None:
    whole = (shards / "x-000.tar").read_bytes()
    for name, content in (
        ("cut", whole[:-9000]), ("two", whole + (shards / "x-001.tar").read_bytes()), ("zip", b"\x1f\x8b" + bytes(600)),
        ("none", bytes(10240)),
    ):  # fmt: skip
        (tmp_path / f"{name}.tar").write_bytes(content)
        told = []
        for manner in (THROUGH, HEADERS):
            with pytest.raises(Broken) as caught:
                adopt(open_store(tmp_path / "store"), "x", {"train": [f"{tmp_path}/{name}.tar"]}, manner=manner)
            told.append(caught.value.problems)
        assert told[0] == told[1]


def test_what_was_read_before_a_stop_is_not_read_again(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, cut = open_store(tmp_path / "store"), shards / "x-001.tar"
    cut.write_bytes(cut.read_bytes()[:4000])
    monkeypatch.setattr(reading, "PER_PROCESS", 1)  # two processes, with several shards each
    with pytest.raises(Broken, match="1 of 3 shards"):
        adopt(store, "foreign", {"train": [f"{shards}/*.tar"]}, LABELS, manner=HEADERS, processes=2)
    told = list[int]()
    done = adopt(store, "foreign", {"train": [f"{shards}/*.tar"]}, LABELS, manner=HEADERS, skip_broken=True,
                 advance=told.append)  # fmt: skip
    assert (done.manifest.samples, done.kept) == (20, 2)
    assert sum(told) == sum(path.stat().st_size for path in shards.iterdir())


def test_headers_on_a_web_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = foreign.write_shard(tmp_path / "x.tar", range(10)).read_bytes()
    monkeypatch.setattr(range_server, "CONTENT", content + bytes(range_server.SIZE - len(content)))
    store = open_store(tmp_path / "store")
    with range_server.serving_ranges() as server:
        adopt(store, "web", {"train": [server.url("right").partition("?")[0]]}, manner=HEADERS)
        assert StoreCatalog(store).query().samples == 10


def test_pieces_grow_while_reads_go_on_and_are_small_after_a_leap() -> None:
    content = np.random.default_rng(0).bytes(40 << 20)
    asked = list[tuple[int, int]]()

    def fetch(start: int, stop: int) -> memoryview:
        asked.append((start, stop))
        return memoryview(content)[start:stop]

    source = Skimmed(fetch, len(content))
    places = [*range(0, 8 << 20, 1000), *range(10 << 20, 40 << 20, 3 * WORTH)]
    for at in places:
        assert source.read(at, at + 512) == content[at : at + 512]
    sizes = [stop - start for start, stop in asked]
    assert sizes[:6] == [FIRST, 4 * FIRST, 16 * FIRST, 64 * FIRST, 4 << 20, 4 << 20]
    assert sizes[-8:] == [FIRST] * 8
    assert source.taken == sum(sizes)
    assert source.read(5, 6 << 20) == content[5 : 6 << 20]  # back, and more than a piece


def test_the_command_and_what_show_and_verify_say(shards: Path, tmp_path: Path) -> None:
    def told(*words: str) -> str:
        command = [sys.executable, "-m", "ropeway.cli", *words, "--store", str(tmp_path / "store")]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    done = json.loads(told("adopt", "foreign", "--shards", f"{shards}/*.tar", "--headers", "--json"))
    assert done["samples"] == 30
    assert "30 samples have no checksum" in told("show", "foreign")
    assert "30 samples have no checksum" in told("verify")
