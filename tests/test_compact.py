"""Compacting and erasing: withdrawn bytes leave shards and store, all others stay what they were."""

import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import webdataset
from rich.console import Console
from typer.testing import CliRunner, Result

import killed_steward
import lifecycles
import tiny_store
from lifecycles import DATASET, SAMPLES, indexed, keys_of, left
from ropeway import index
from ropeway import manifest as m
from ropeway.catalog import StoreCatalog
from ropeway.cli import make_app
from ropeway.errors import ChecksumError, NotFound, UsageError
from ropeway.export import WRITERS
from ropeway.index_files import write_index
from ropeway.lifecycle import Named, Withdrawal, compact, erase, planned, withdraw
from ropeway.lifecycle.versions import splits_of
from ropeway.stores import LocalStore, Store, open_store
from ropeway.verify import verify

OLD = tiny_store.VERSION
GONE = {"s1", "s5", "s16", "s20", "s21", "s22", "s23"}


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """A store without some subjects, whose shards hold them still."""
    made = LocalStore(tmp_path / "store")
    built(made)
    return made


def built(store: Store) -> None:
    tiny_store.build(store, content=SAMPLES)
    withdraw(store, DATASET, Named(sorted(GONE)))


def erased(store: Store) -> None:
    erase(store, DATASET, planned(store, DATASET))


def test_only_shards_with_withdrawn_samples_are_written_anew_member_by_member(store: LocalStore) -> None:
    before = lifecycles.current(store)
    done = compact(store, DATASET)
    after = lifecycles.current(store)
    dirty = [shard.path for shard in before.shards if shard.withdrawn]
    assert (done.shards, done.samples) == (len(dirty), sum(shard.withdrawn for shard in before.shards))
    assert done.before == sum(shard.bytes for shard in before.shards if shard.withdrawn)
    assert done.after == sum(shard.bytes for shard in after.shards if shard.path.startswith(after.version))
    names = {path.rpartition("/")[2] for path in dirty}
    assert [shard.path for shard in after.shards] == [
        f"{after.version}/{path.rpartition('/')[2]}" if path.rpartition("/")[2] in names else path
        for path in (shard.path for shard in before.shards)
    ]
    kept = left(GONE)
    for old, new in zip(before.shards, after.shards, strict=True):
        data = bytes(store.read(f"{DATASET}/{new.path}"))
        assert (new.bytes, new.sha256, new.withdrawn) == (len(data), hashlib.sha256(data).hexdigest(), 0)
        held = lifecycles.members(store, f"{DATASET}/{old.path}")
        wanted = {name: content for name, content in held.items() if name.partition(".")[0] in kept}
        assert list(lifecycles.members(store, f"{DATASET}/{new.path}").items()) == list(wanted.items())
    assert verify(store, after).problems == ()
    assert indexed(store) == keys_of(StoreCatalog(store).query()) == set(kept)


QUIET = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
"""webdataset leaves files open."""


@QUIET
def test_what_reads_shards_whole_reads_them_again(store: LocalStore) -> None:
    compact(store, DATASET)
    manifest = lifecycles.current(store)
    for write in WRITERS.values():
        assert write(store, manifest)
    urls = StoreCatalog(store).query().urls()
    assert {sample["__key__"] for url in urls for sample in webdataset.WebDataset(url, shardshuffle=False)} == set(
        left(GONE)
    )


def test_nothing_withdrawn_is_nothing_to_do(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    tiny_store.build(store, content=SAMPLES)
    before = lifecycles.digests(store)
    assert compact(store, DATASET).shards == 0
    plan = planned(store, DATASET)
    assert (plan.versions, plan.objects) == ((), ())
    erase(store, DATASET, plan)
    assert lifecycles.digests(store) == before
    with pytest.raises(NotFound, match="no such dataset"):
        compact(store, "other")


def test_erased_is_gone_and_the_shards_that_others_use_stay(store: LocalStore) -> None:
    with pytest.raises(UsageError, match="9 withdrawn samples lie in shards of the current version: compact it first"):
        planned(store, DATASET)
    compact(store, DATASET)
    assert lifecycles.traces(store, GONE)
    erased(store)
    assert lifecycles.traces(store, GONE) == []
    manifest = lifecycles.current(store)
    assert verify(store, manifest).problems == ()
    latest = StoreCatalog(store).latest(DATASET)
    assert (latest.history, len(latest.erased)) == ((manifest.version,), 2)
    assert latest.erased[0] == OLD
    for version in latest.erased:
        with pytest.raises(NotFound):
            StoreCatalog(store).manifest(DATASET, version)
    there = {stat.path for stat in store.objects(DATASET)}
    assert there == {
        f"{DATASET}/{path}"
        for path in ("latest.json", f"{manifest.version}/manifest.json", f"{manifest.version}/withdrawn.json",
                     *(file.path for file in manifest.index), *(shard.path for shard in manifest.shards))
    }  # fmt: skip
    assert planned(store, DATASET).objects == ()


def test_what_an_export_says_of_the_withdrawn_is_erased_and_of_others_stays(store: LocalStore) -> None:
    old = StoreCatalog(store).manifest(DATASET, OLD)
    for write in WRITERS.values():
        write(store, old)
    compact(store, DATASET)
    erased(store)
    assert lifecycles.traces(store, GONE) == []
    for write in WRITERS.values():
        write(store, lifecycles.current(store))
    before = lifecycles.digests(store)
    erased(store)
    assert lifecycles.digests(store) == before


def test_a_version_that_was_begun_and_not_published_is_told_and_left_alone(store: LocalStore) -> None:
    compact(store, DATASET)
    store.put(f"{DATASET}/ba9876543210/train-000000.tar", b"half a pack")
    plan = planned(store, DATASET)
    assert plan.unfinished == ("ba9876543210",)
    erased(store)
    assert bytes(store.read(f"{DATASET}/ba9876543210/train-000000.tar")) == b"half a pack"


def test_nothing_is_erased_when_somebody_published_meanwhile(store: LocalStore) -> None:
    compact(store, DATASET)
    plan = planned(store, DATASET)
    withdraw(store, DATASET, Named(["s2"]))
    before = lifecycles.digests(store)
    with pytest.raises(UsageError, match="somebody published a version meanwhile, and nothing was erased"):
        erase(store, DATASET, plan)
    assert lifecycles.digests(store) == before


def test_a_withdrawal_during_a_compaction_holds(store: LocalStore) -> None:
    raced: list[Withdrawal] = []

    def race(made: m.Manifest, figures: object) -> None:
        if not raced:
            raced.append(withdraw(store, DATASET, Named(["s2"])))

    compact(store, DATASET, announce=race)
    assert indexed(store) == set(left({*GONE, "s2"}))
    erased(store)
    assert lifecycles.traces(store, {*GONE, "s2"}) == []


def test_shards_of_one_name_from_two_versions_do_not_meet(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    halves = [tiny_store.build(store, content=half, version=version)
              for half, version in ((SAMPLES[:24], OLD), (SAMPLES[24:48], "ba9876543210"))]  # fmt: skip
    both = appended(store, *halves)
    assert {shard.path.rpartition("/")[2] for shard in both.shards[:3]} == {
        shard.path.rpartition("/")[2] for shard in both.shards[3:]
    }
    withdraw(store, DATASET, Named(["s0", "s8"]))
    assert compact(store, DATASET).shards == 2
    manifest = lifecycles.current(store)
    assert verify(store, manifest).problems == ()
    assert indexed(store) == {sample.key for sample in SAMPLES[:48] if sample.subject not in {"s0", "s8"}}


def appended(store: Store, first: m.Manifest, second: m.Manifest) -> m.Manifest:
    """A version of the shards of two, which becomes the current one."""
    version = "c" * 12
    rows = [index.decode(store.read(f"{DATASET}/{one.index[0].path}")) for one in (first, second)]
    made = replace(first, version=version, shards=(*first.shards, *second.shards),
                   index=tuple(write_index(store, DATASET, version, rows)),
                   parts=tuple(replace(one, samples=one.samples + other.samples)
                               for one, other in zip(first.parts, second.parts, strict=True)))  # fmt: skip
    made = replace(made, splits=splits_of(pa.concat_tables(rows), made))
    store.create(m.manifest_path(DATASET, version), m.dumps(made))
    store.put(m.latest_path(DATASET), m.dumps(m.Latest(version=version, history=(version,))))
    return made


def test_damage_is_not_made_a_new_version_of(store: LocalStore) -> None:
    path = store.root / DATASET / OLD / "train-000000.tar"
    data = bytearray(path.read_bytes())
    data[data.index(b"note 1") + 5] ^= 1
    path.write_bytes(data)
    with pytest.raises(ChecksumError, match=r"mend the shard.*train-000000\.tar"):
        compact(store, DATASET)
    assert lifecycles.current(store).provenance.parent == OLD


def test_killed_at_any_step_the_store_is_sound_and_the_same_command_ends_it(tmp_path: Path) -> None:
    """SIGKILL before each change that withdrawing, compacting and erasing make to a store."""
    done = subprocess.run([sys.executable, str(Path(killed_steward.__file__)), str(tmp_path)], capture_output=True,
                          text=True, check=False, timeout=150)  # fmt: skip
    assert done.returncode == 0, done.stderr
    told: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(told) > 15
    *killed, last = told
    kept = sorted(left(killed_steward.GONE))
    everything = sorted(sample.key for sample in SAMPLES)
    published = [one["keys"] for one in told].index(kept)
    assert published > 2
    for one in killed:
        assert one["keys"] == (everything if one["step"] < published else kept)
        assert one["problems"] == []
        assert one["traces"] == []
        assert one["after"] == last["after"], one["step"]


def test_on_s3_the_same_happens(bucket: str) -> None:
    store = open_store(f"s3://{bucket}/climb")
    built(store)
    assert keys_of(StoreCatalog(store).query()) == set(left(GONE))
    compact(store, DATASET)
    erased(store)
    assert keys_of(StoreCatalog(store).query()) == indexed(store) == set(left(GONE))
    assert verify(store, lifecycles.current(store)).problems == ()
    assert lifecycles.traces(store, GONE) == []


def run(*arguments: str, ask: str = "") -> Result:
    return CliRunner().invoke(make_app(), ["compact", *arguments], input=ask)


def test_as_a_steward_types_it(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    where = (DATASET, "--store", str(store.root))
    with pytest.raises(UsageError, match="nobody to ask here: add --yes"):
        raise run(*where, "--erase", "--json").exception  # type: ignore[misc]
    with pytest.raises(UsageError, match="give both"):
        raise run(*where, "--yes").exception  # type: ignore[misc]
    shown = run(*where).stdout
    assert "4 shards written anew without 9 samples" in shown
    assert "--erase removes those" in shown
    monkeypatch.setattr("ropeway.cli.compact.stderr", Console(stderr=True, force_terminal=True))
    before = lifecycles.digests(store)
    asked = run(*where, "--erase", ask="n\n")
    assert asked.exit_code == 1
    assert "for good? [y/N]" in asked.output
    assert lifecycles.digests(store) == before
    told = json.loads(run(*where, "--erase", "--yes", "--json").stdout)
    assert (told["shards"], told["erased"]["versions"][0], told["erased"]["unfinished"]) == (0, OLD, [])
    shown = run(*where, "--erase", "--yes").stdout
    assert "no shard of it holds a withdrawn sample" in shown
    assert "nothing to erase" in shown
    assert lifecycles.traces(store, GONE) == []
