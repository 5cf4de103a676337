"""A sound store is sound; whatever is wrong with one is found and named, each damage by the check meant for it."""

import hashlib
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
    return sound(store)


def sound(store: Store) -> m.Manifest:
    """60 samples in 9 shards; each subject is in one split."""
    return build(store, content=[replace(sample, subject=f"{sample.split}-{sample.subject}") for sample in samples()])


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
    manifest = sound(store)
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
        found = tar.members(io.BytesIO(content))
        members = [(member.name, content[member.offset : member.offset + member.length]) for member in found]
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
        assert f"part scan is there 2 times [shard {FIRST}, key {KEY}]" in problems

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


class TestIndex:
    """Sound shards, and an index or a manifest that says something else of them."""

    def test_a_changed_index_file_is_named(self, store: Store, manifest: m.Manifest) -> None:
        with_index(store, manifest, lambda rows: rows[0].update({"meta.age": 99}))  # and the manifest left as it was
        says(verify(store, manifest), "sha256 of the index file differs", "the index file has 60 rows and")

    @pytest.mark.parametrize("content", [None, b"", b"PAR1 no parquet PAR1"])
    def test_a_missing_or_unreadable_index_hides_no_damaged_shard(
        self, store: Store, manifest: m.Manifest, content: bytes | None
    ) -> None:
        store.delete(INDEX)
        if content is not None:
            store.put(INDEX, content)
        shard = bytearray(store.read(FIRST))
        shard[600] ^= 1
        store.put(FIRST, bytes(shard))
        problems = verify(store, manifest).problems
        assert INDEX in problems[0]
        assert ("no such object" in problems[0]) == (content is None)
        assert problems[-1] == f"sha256 differs from the manifest's [shard {FIRST}]"
        assert len(problems) == (2 if content is None else 3)

    def test_one_missing_file_of_several_is_one_problem(self, store: Store, manifest: m.Manifest) -> None:
        manifest = split_index(store, manifest)
        store.delete(f"tiny/{manifest.index[2].path}")
        report = verify(store, manifest)
        says(report, "no such object")
        assert manifest.index[2].path in report.problems[0]

    def test_rows_and_bytes_of_each_file_are_counted(self, store: Store, manifest: m.Manifest) -> None:
        manifest = split_index(store, manifest)
        one, other, *rest = manifest.index
        wrong = (replace(one, rows=one.rows + 1), replace(other, rows=other.rows - 1), *rest)
        says(verify(store, replace(manifest, index=wrong)), "the index file has 8 rows", "the index file has 8 rows")
        wrong = (replace(one, bytes=one.bytes + 1), other, *rest)
        says(verify(store, replace(manifest, index=wrong)), f"and {one.bytes} bytes")

    def test_rows_swapped_are_named(self, store: Store, manifest: m.Manifest) -> None:
        """Two samples with each other's places: readers would give one's scan with the other's label."""

        def swap(rows: list[dict[str, Any]]) -> None:
            rows[1]["key"], rows[2]["key"] = rows[2]["key"], rows[1]["key"]

        report = verify(store, with_index(store, manifest, swap))
        says(report, "index and tar differ in where its parts lie", "index and tar differ in where its parts lie")
        assert "p%2E0001" in report.problems[0]
        assert "p%2E0002" in report.problems[1]

    def test_a_span_that_is_not_the_sample_is_named(self, store: Store, manifest: m.Manifest) -> None:
        """Its checksum is right for the bytes it names, its parts are where they should be: but elsewhere."""

        def move(rows: list[dict[str, Any]]) -> None:
            rows[1].update({name: rows[2][name] for name in ("offset", "length", "crc32c")})

        report = verify(store, with_index(store, manifest, move))
        says(report, "part note lies outside its sample's span", "part scan lies outside its sample's span")
        assert f"[shard {FIRST}, key site-1/p%2E0001]" in report.problems[0]

    @pytest.mark.parametrize(
        ("change", "value"), [("crc32c", 1), ("offset", -512), ("offset", 1 << 40), ("length", 0), ("length", 1 << 40)]
    )
    def test_a_wrong_number_is_named(self, store: Store, manifest: m.Manifest, change: str, value: int) -> None:
        report = verify(store, with_index(store, manifest, lambda rows: rows[1].update({change: value})))
        assert "crc32c of the sample differs from the index's" in report.problems[0]
        assert all("key site-1/p%2E0001" in problem for problem in report.problems)

    def test_a_part_that_only_the_index_has_is_named(self, store: Store, manifest: m.Manifest) -> None:
        without = index.decode(store.read(INDEX)).to_pylist()[0]  # sample 0 lacks its note
        assert without["note.offset"] is None
        claim = {"note.offset": without["scan.offset"], "note.length": 3}
        says(
            verify(store, with_index(store, manifest, lambda rows: rows[0].update(claim))),
            "part note: 49 samples have it, the manifest says 48", "index and tar differ in where its parts lie",
        )  # fmt: skip

    def test_a_row_too_few_is_named(self, store: Store, manifest: m.Manifest) -> None:
        report = verify(store, with_index(store, manifest, lambda rows: rows.pop(3)))
        says(report, "index has 59 rows, the manifest 60 samples")

    def test_a_sample_of_another_shard_is_named(self, store: Store, manifest: m.Manifest) -> None:
        other = manifest.shards[1].path
        problems = verify(store, with_index(store, manifest, lambda rows: rows[0].update(shard=other))).problems
        assert f"7 index rows, the manifest says 8 samples [shard {FIRST}]" in problems
        assert f"sample is in the tar, but not in the index [shard {FIRST}, key {KEY}]" in problems
        assert f"9 index rows, the manifest says 8 samples [shard tiny/{other}]" in problems
        assert f"sample is in the index, but not in the tar [shard tiny/{other}, key {KEY}]" in problems

    def test_a_shard_that_the_manifest_does_not_know_is_named(self, store: Store, manifest: m.Manifest) -> None:
        report = verify(store, with_index(store, manifest, lambda rows: rows[0].update(shard="x/stranger.tar")))
        says(report, "index names a shard that the manifest does not [dataset tiny, shard x/stranger.tar]")

    def test_a_key_that_is_there_twice_is_named(self, store: Store, manifest: m.Manifest) -> None:
        key = "site-1/p%2E0001"
        problems = verify(store, with_index(store, manifest, lambda rows: rows[0].update(key=key))).problems
        assert f"key is there 2 times [dataset tiny, key {key}]" in problems

    def test_a_subject_in_two_splits_is_named(self, store: Store, manifest: m.Manifest) -> None:
        def leak(rows: list[dict[str, Any]]) -> None:
            for row in rows[-3:]:  # all of one subject: as many subjects as before
                row["subject"] = rows[0]["subject"]

        says(verify(store, with_index(store, manifest, leak)), "subject train-s0 is in the splits test and train")

    def test_samples_without_a_subject_leak_nothing(self, store: Store) -> None:
        content = [
            replace(s, subject=None if number % 5 else f"{s.split}{number}") for number, s in enumerate(samples())
        ]
        manifest = build(store, content=content)
        splits = tuple(
            replace(split, subjects=len({s.subject for s in content if s.split == split.name} - {None}))
            for split in manifest.splits
        )
        says(verify(store, replace(manifest, splits=splits)))

    def test_a_sample_of_another_split_than_its_shard_is_named(self, store: Store, manifest: m.Manifest) -> None:
        def move(rows: list[dict[str, Any]]) -> None:
            for row in rows[:3]:  # all of one subject: no leak between splits
                row["split"] = "test"

        problems = verify(store, with_index(store, manifest, move)).problems
        train, _, test = manifest.splits
        assert (
            f"split train has {train.samples - 3} index rows, the manifest says {train.samples} [dataset tiny]"
            in problems
        )
        assert (
            f"split test has {test.samples + 3} index rows, the manifest says {test.samples} [dataset tiny]" in problems
        )
        assert f"a shard of split train holds samples of test [shard {FIRST}]" in problems

    def test_subjects_are_counted(self, store: Store, manifest: m.Manifest) -> None:
        train = manifest.splits[0]
        wrong = replace(manifest, splits=(replace(train, subjects=train.subjects + 1), *manifest.splits[1:]))
        says(verify(store, wrong), f"split train has {train.subjects} subjects, the manifest says {train.subjects + 1}")

    def test_parts_are_counted(self, store: Store, manifest: m.Manifest) -> None:
        note, *others = manifest.parts
        wrong = replace(manifest, parts=(replace(note, samples=47), *others))
        says(verify(store, wrong), "part note: 48 samples have it, the manifest says 47")

    @pytest.mark.parametrize(
        ("task", "label", "classes"), [("sick", 2, 2), ("rhythm", -1, 3), ("rhythm", 3, 3), ("findings", [0, 3], 3)]
    )
    def test_a_label_that_is_no_class_is_named(
        self, store: Store, manifest: m.Manifest, task: str, label: object, classes: int
    ) -> None:
        report = verify(store, with_index(store, manifest, lambda rows: rows[7].update({f"task.{task}": label})))
        says(report, f"task {task} has a label outside its {classes} classes")

    def test_a_task_without_a_column_is_named(self, store: Store, manifest: m.Manifest) -> None:
        more = replace(manifest, tasks=(*manifest.tasks, m.Task(id="late", type="regression")))
        says(verify(store, more), "index lacks the columns task.late")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, m.Manifest]:
    store = open_store(tmp_path_factory.mktemp("verify"))
    return store, sound(store)


@settings(max_examples=40)
@given(st.data())
def test_no_single_byte_of_a_version_can_change_unseen(
    published: tuple[Store, m.Manifest], data: st.DataObject
) -> None:
    store, manifest = published
    path = data.draw(st.sampled_from([INDEX, *(f"tiny/{shard.path}" for shard in manifest.shards)]))
    sound = bytes(store.read(path))
    content = bytearray(sound)
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    store.put(path, bytes(content))
    try:
        problems = verify(store, manifest).problems
    finally:
        store.put(path, sound)
    assert any(path in problem for problem in problems)
