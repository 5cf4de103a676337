"""A sound store is sound; whatever is wrong with one is found and named, each damage by the check that is meant
for it."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ropeway import index, tar
from ropeway import manifest as m
from ropeway.errors import AccessDenied, StoreError
from ropeway.stores import Store, open_store
from ropeway.verify import MOST, Report, verify
from tiny_store import VERSION, build, samples

FIRST = f"tiny/{VERSION}/train-000000.tar"
INDEX = f"tiny/{VERSION}/index/00000.parquet"
KEY = "site-0/p%2E0000"
"""The first sample of the first shard."""

Edit = Callable[[list[dict[str, Any]]], object]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path)


@pytest.fixture
def manifest(store: Store) -> m.Manifest:
    return build(store)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def says(report: Report, *problems: str) -> None:
    """Exactly these problems, in this order; each is one line that holds the given text."""
    assert len(report.problems) == len(problems), report.problems
    for found, expected in zip(report.problems, problems, strict=True):
        assert expected in found
        assert "\n" not in found


def with_index(store: Store, manifest: m.Manifest, edit: Edit) -> m.Manifest:
    """The index rewritten and its checksum recorded: what remains wrong is what the rows say."""
    table = index.decode(store.read(INDEX))
    rows = table.to_pylist()
    edit(rows)
    data = index.encode([pa.Table.from_pylist(rows, schema=table.schema)])
    store.put(INDEX, data)
    file = replace(manifest.index[0], rows=len(rows), bytes=len(data), sha256=sha256(data))
    return replace(manifest, index=(file,))


def with_shard(store: Store, manifest: m.Manifest, content: bytes) -> m.Manifest:
    """The first shard replaced and its size and checksum recorded: what remains wrong is what is in it."""
    store.put(FIRST, content)
    shard = replace(manifest.shards[0], bytes=len(content), sha256=sha256(content))
    return replace(manifest, shards=(shard, *manifest.shards[1:]))


@pytest.mark.parametrize("url", ["", "memory://verify-sound"])
def test_a_sound_store_is_sound(url: str, tmp_path: Path) -> None:
    store = open_store(url or tmp_path)
    manifest = build(store)
    advanced: list[int] = []
    report = verify(store, manifest, advanced.append)
    says(report)
    assert (report.dataset, report.version) == ("tiny", VERSION)
    assert (report.shards, report.samples, report.bytes) == (len(manifest.shards), 60, sum(advanced))


def test_an_index_in_several_files_is_sound(store: Store, manifest: m.Manifest) -> None:
    says(verify(store, split_index(store, manifest)))


def split_index(store: Store, manifest: m.Manifest) -> m.Manifest:
    """The same index, a file per shard."""
    table = index.decode(store.read(INDEX))
    files = []
    for number, shard in enumerate(manifest.shards):
        rows = [row for row in table.to_pylist() if row["shard"] == shard.path]
        data = index.encode([pa.Table.from_pylist(rows, schema=table.schema)])
        path = f"{VERSION}/index/{number:05d}.parquet"
        store.put(f"tiny/{path}", data)
        files.append(m.IndexFile(path=path, rows=len(rows), bytes=len(data), sha256=sha256(data)))
    return replace(manifest, index=tuple(files))


def test_an_adopted_shard_is_checked_where_it_is(store: Store, manifest: m.Manifest, tmp_path: Path) -> None:
    elsewhere = open_store(tmp_path / "elsewhere")
    content = bytes(store.read(FIRST))
    elsewhere.put("adopted.tar", content)
    store.delete(FIRST)
    url = f"{elsewhere.url}/adopted.tar"
    own = manifest.shards[0].path

    def adopt(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            row["shard"] = url if row["shard"] == own else row["shard"]

    adopted = replace(manifest, shards=(replace(manifest.shards[0], path=url), *manifest.shards[1:]))
    adopted = with_index(store, adopted, adopt)
    says(verify(store, adopted))
    elsewhere.put("adopted.tar", content[:-1] + b"x")
    says(verify(store, adopted), "sha256 differs", "the closing zero blocks are missing")


class TestShards:
    """Bytes that are not those that were packed."""

    @pytest.mark.parametrize("flips", [1, 3])
    def test_a_flipped_byte_is_found_in_its_sample(self, store: Store, manifest: m.Manifest, flips: int) -> None:
        content = bytearray(store.read(FIRST))
        for number in range(flips):
            content[512 + number] ^= 1  # content of the first sample's first part
        store.put(FIRST, bytes(content))
        report = verify(store, manifest)
        says(report, "sha256 differs from the manifest's", "crc32c of the sample differs from the index's")
        for problem in report.problems:
            assert f"shard {FIRST}" in problem
        assert f"key {KEY}, offset 0" in report.problems[1]

    def test_a_flipped_byte_between_samples_is_found(self, store: Store, manifest: m.Manifest) -> None:
        """In the closing blocks: no sample's checksum covers it."""
        content = bytearray(store.read(FIRST))
        content[-1] ^= 1
        store.put(FIRST, bytes(content))
        says(verify(store, manifest), "sha256 differs", "the closing zero blocks are missing")

    @pytest.mark.parametrize("cut", [1, 512, 1024, 5000])
    def test_a_truncated_shard_is_named(self, store: Store, manifest: m.Manifest, cut: int) -> None:
        content = bytes(store.read(FIRST))
        store.put(FIRST, content[:-cut])
        report = verify(store, manifest)
        says(report, f"the object has {len(content) - cut} bytes, the manifest says {len(content)}")
        assert f"shard {FIRST}" in report.problems[0]

    def test_a_shard_that_grew_is_named(self, store: Store, manifest: m.Manifest) -> None:
        """Its first bytes are sound: readers that stop at the closing blocks would see no difference."""
        content = bytes(store.read(FIRST))
        store.put(FIRST, content + b"more")
        says(verify(store, manifest), f"the object has {len(content) + 4} bytes, the manifest says {len(content)}")

    @pytest.mark.parametrize("content", [b"", b"no tar at all", bytes(100)])
    def test_a_shard_that_is_no_tar_is_named(self, store: Store, manifest: m.Manifest, content: bytes) -> None:
        report = verify(store, with_shard(store, manifest, content))
        assert any("split train says" not in problem and FIRST in problem for problem in report.problems)
        assert all(FIRST in problem for problem in report.problems)

    def test_a_missing_shard_is_named_and_the_others_are_checked(self, store: Store, manifest: m.Manifest) -> None:
        store.delete(FIRST)
        last = f"tiny/{manifest.shards[-1].path}"
        content = bytearray(store.read(last))
        content[600] ^= 1
        store.put(last, bytes(content))
        report = verify(store, manifest)
        says(report, "no such object", "sha256 differs", "crc32c of the sample differs")
        assert FIRST in report.problems[0]
        assert last in report.problems[1]

    def test_two_shards_swapped_are_named(self, store: Store, manifest: m.Manifest) -> None:
        one, other = (f"tiny/{shard.path}" for shard in manifest.shards[:2])
        ours, theirs = bytes(store.read(one)), bytes(store.read(other))
        store.put(one, theirs)
        store.put(other, ours)
        assert {True} == {one in problem or other in problem for problem in verify(store, manifest).problems}

    def test_many_problems_are_cut_short_but_counted(self, store: Store) -> None:
        manifest = build(store, per_shard=60, content=[replace(sample, split="train") for sample in samples()])
        content = bytearray(store.read(FIRST))
        for row in index.decode(store.read(INDEX)).to_pylist():
            content[row["scan.offset"]] ^= 1
        store.put(FIRST, bytes(content))
        report = verify(store, manifest)
        assert len(report.problems) == MOST + 1
        assert report.problems[-1] == f"and {1 + 60 - MOST} more problems [shard {FIRST}]"

    def test_a_store_that_cannot_be_read_is_an_error_not_a_finding(
        self, store: Store, manifest: m.Manifest, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for error in (AccessDenied("no"), StoreError("request failed")):
            read = store.read

            def refuse(path: str, start: int = 0, stop: int | None = None, error: StoreError = error) -> memoryview:
                if path.endswith(".tar"):
                    raise error
                return read(path, start, stop)  # noqa: B023 - called before the next round

            with monkeypatch.context() as patched:
                patched.setattr(store, "read", refuse)
                with pytest.raises(type(error)) as caught:
                    verify(store, manifest)
            assert caught.value is error


class TestContent:
    """Tars that are sound in themselves and not what the index says."""

    def archive(self, store: Store, edit: Callable[[list[tuple[str, bytes]]], object]) -> bytes:
        """The first shard's members, changed and written again."""
        content = bytes(store.read(FIRST))
        with open_shard(content) as file:
            members = [(member.name, content[member.offset : member.offset + member.length]) for member in file]
        edit(members)
        blocks = []
        for name, data in members:
            key, part, form = tar.split_name(name)
            blocks.append(tar.encode_sample(key, [(part, form, data)], 0)[0])
        return b"".join(blocks) + tar.END

    def test_an_extra_sample_is_named(self, store: Store, manifest: m.Manifest) -> None:
        content = self.archive(store, lambda members: members.append(("stranger.scan.bin", b"x")))
        report = verify(store, with_shard(store, manifest, content))
        says(report, "sample is in the tar, but not in the index")
        assert f"[shard {FIRST}, key stranger]" in report.problems[0]

    def test_an_extra_part_is_named(self, store: Store, manifest: m.Manifest) -> None:
        last = "site-1/p%2E0007"
        content = self.archive(store, lambda members: members.append((f"{last}.mask.bin", b"x")))
        report = verify(store, with_shard(store, manifest, content))
        says(report, "index and tar differ in where its parts lie")
        assert f"key {last}" in report.problems[0]

    def test_a_part_that_is_there_twice_is_named(self, store: Store, manifest: m.Manifest) -> None:
        """`scan.bin` and `scan.raw` are one part: a reader would give one of them."""
        content = self.archive(store, lambda members: members.insert(1, (f"{KEY}.scan.raw", b"x")))
        problems = verify(store, with_shard(store, manifest, content)).problems
        assert f"part scan is there twice [shard {FIRST}, key {KEY}]" in problems

    def test_a_sample_that_is_not_in_the_tar_is_named(self, store: Store, manifest: m.Manifest) -> None:
        content = self.archive(store, lambda members: [members.pop() for _ in range(2)])
        problems = verify(store, with_shard(store, manifest, content)).problems
        assert f"sample is in the index, but not in the tar [shard {FIRST}, key site-1/p%2E0007]" in problems

    def test_members_that_are_not_adjacent_are_named(self, store: Store, manifest: m.Manifest) -> None:
        content = self.archive(store, lambda members: members.append(members.pop(1)))
        problems = verify(store, with_shard(store, manifest, content)).problems
        assert any("members of a sample are not adjacent" in problem for problem in problems)

    def test_a_name_without_its_pieces_is_named(self, store: Store, manifest: m.Manifest) -> None:
        content = bytes(store.read(FIRST)).replace(b"site-0/p%2E0000.scan.bin", b"site-0/p%2E0000-scan-bin")
        problems = verify(store, with_shard(store, manifest, content)).problems
        assert problems
        assert all(FIRST in problem for problem in problems)


def open_shard(content: bytes) -> Any:
    import io
    from contextlib import nullcontext

    return nullcontext(list(tar.members(io.BytesIO(content))))
