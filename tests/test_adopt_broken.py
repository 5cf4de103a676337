"""Tars that can't be adopted, and rules that don't fit them: told with the shard, the sample and what to do."""

import gzip
import tarfile
from pathlib import Path
from typing import Any

import pytest

import foreign
from ropeway.adopt import Broken, adopt
from ropeway.adopt.rules import MetaRules, PartRules, Rules, TaskRules
from ropeway.errors import NotFound, RecipeError, UsageError
from ropeway.stores import open_store
from ropeway.verify import verify


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    return foreign.write_shards(tmp_path / "raw", 2)


def broken(path: Path, tmp_path: Path, rules: Rules | None = None) -> str:
    with pytest.raises(Broken) as caught:
        adopt(open_store(tmp_path / "store"), "broken", {"train": [str(path)]}, rules)
    assert path.as_uri() in caught.value.problems[0]
    return "\n".join(caught.value.problems)


def test_a_cut_archive_is_named(shards: Path, tmp_path: Path) -> None:
    path = shards / "x-000.tar"
    whole = path.read_bytes()
    with tarfile.open(path) as archive:
        begins = [info.offset for info in archive]
    for size in (begins[8], begins[9] + 512, begins[9] + 100):
        path.write_bytes(whole[:size])
        told = broken(path, tmp_path)
        assert "cut short" in told or "not a readable tar" in told
        assert len(told.splitlines()) == 1  # and nothing is concluded from what was not read


def test_a_key_that_is_there_twice_is_named(tmp_path: Path) -> None:
    path = foreign.write_members(tmp_path / "x.tar", [("a.txt", b"1"), ("b.txt", b"2"), ("a.txt", b"3")])
    assert "two samples have this key [key a, offset 2048]" in broken(path, tmp_path)


def test_scattered_members_are_named(tmp_path: Path) -> None:
    path = foreign.write_members(tmp_path / "x.tar", [("a.txt", b"1"), ("b.txt", b"2"), ("a.jpg", foreign.jpeg(0))])
    assert "not adjacent: pack it again, sorted (tar --sort=name) [key a, offset 2048]" in broken(path, tmp_path)


def test_two_archives_in_one_file_are_named(shards: Path, tmp_path: Path) -> None:
    path = shards / "x-000.tar"
    path.write_bytes(path.read_bytes() + (shards / "x-001.tar").read_bytes())
    assert "several tars in one file" in broken(path, tmp_path)


def test_compressed_tars_are_refused_with_a_hint(shards: Path, tmp_path: Path) -> None:
    hidden = tmp_path / "hidden.tar"
    hidden.write_bytes(gzip.compress((shards / "x-000.tar").read_bytes()))
    assert "compressed with gzip" in broken(hidden, tmp_path)
    with pytest.raises(UsageError, match="gunzip"):
        adopt(open_store(tmp_path / "store"), "packed", {"train": [str(hidden.rename(tmp_path / "x.tar.gz"))]})


def test_what_holds_nothing_or_is_no_tar_is_named(tmp_path: Path) -> None:
    assert "holds no samples" in broken(foreign.write_members(tmp_path / "empty.tar", []), tmp_path)
    (tmp_path / "text.tar").write_bytes(b"not a tar at all" * 100)
    assert "not a readable tar" in broken(tmp_path / "text.tar", tmp_path)


def test_values_that_do_not_fit_are_named(shards: Path, tmp_path: Path) -> None:
    store, patterns = open_store(tmp_path / "store"), foreign.train(f"{shards}/*.tar")

    def refused(**rules: Any) -> str:
        with pytest.raises((RecipeError, Broken)) as caught:
            adopt(store, "foreign", patterns, Rules(**rules))
        return "\n".join([str(caught.value), *getattr(caught.value, "problems", ())])

    assert "2 is none of its 2 classes" in refused(tasks={"t": TaskRules(from_="cls", classes=("no", "yes"))})
    assert "no sample has a value there" in refused(tasks={"t": TaskRules(from_="json.nothing")})
    assert "is an object: name a place within it" in refused(meta={"m": MetaRules(from_="json.site")})
    assert "part 'jpg' is jpg" in refused(meta={"m": MetaRules(from_="jpg")})
    assert "and 'a' is not" in refused(meta={"m": MetaRules(from_="json.site.name", type="integer")})
    assert "all samples would be one" in refused(key="{shard}")
    assert "can't name metadata" in refused(meta={"label": MetaRules(from_="cls")})
    assert "a field is in two parts" in refused(
        parts={"a": PartRules(fields=("jpg",)), "b": PartRules(fields=("JPG",))}
    )
    assert "not a task id" in refused(tasks={"Two words": TaskRules(from_="cls")})


def test_subjects_in_two_splits_are_refused_unless_a_reason_is_given(tmp_path: Path) -> None:
    foreign.write_shard(tmp_path / "raw/train.tar", range(6))
    foreign.write_shard(tmp_path / "raw/test.tar", range(6, 12))
    patterns: dict[Any, list[str]] = {name: [f"{tmp_path}/raw/{name}.tar"] for name in ("train", "test")}
    store = open_store(tmp_path / "store")
    with pytest.raises(UsageError, match="1 subjects are in more than one split"):
        adopt(store, "leaky", patterns, Rules(subject="json.subject"))
    done = adopt(store, "leaky", patterns, Rules(subject="json.subject", leaks="official split"))
    assert verify(store, done.manifest).problems == ()


def test_patterns_that_match_nothing_are_refused(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    for pattern, problem in (
        (f"{tmp_path}/*.tar", "no file matches"), (f"{tmp_path}/x-{{0..2.tar", "braces"), ("http://h/*.tar", "http"),
        (f"memory://{tmp_path.name}/*.tar", "no object matches"),
    ):  # fmt: skip
        with pytest.raises((UsageError, NotFound), match=problem):
            adopt(store, "nothing", {"train": [pattern]})
    with pytest.raises(NotFound, match=r"missing\.tar"):
        adopt(store, "nothing", {"train": [f"{tmp_path}/missing.tar"]})
    foreign.write_shard(tmp_path / "x-4.tar", range(2))
    with pytest.raises(NotFound, match=r"^8 of 9 shards are not there: x-0\.tar, .*, x-3\.tar, x-5\.tar, …"):
        adopt(store, "nothing", {"train": [f"{tmp_path}/x-{{0..8}}.tar"]})
    one = foreign.write_shard(tmp_path / "one.tar", range(2))
    with pytest.raises(UsageError, match="name a shard twice"):
        adopt(store, "nothing", {"train": [str(one), str(one)]})
