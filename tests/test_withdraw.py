"""Withdrawn subjects are in no later view, by whatever way one asks, and nothing brings them back."""

import io
import json
import uuid
from collections import Counter
from dataclasses import replace
from pathlib import Path
from time import sleep
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

import foreign
import guarded
import lifecycles
import ropeway
import shardgen_raw
import tiny_store
from lifecycles import DATASET, SAMPLES, files_of, indexed, keys_of, left, mounted
from ropeway import manifest as m
from ropeway.adopt import adopt
from ropeway.adopt.rules import Rules
from ropeway.catalog import StoreCatalog
from ropeway.cli import make_app
from ropeway.errors import FormatError, NotFound, QueryError, RopewayError, ServiceError, UsageError, Withdrawn
from ropeway.export import WRITERS
from ropeway.lifecycle import Named, compact, erase, planned, withdraw
from ropeway.lifecycle.subjects import pseudonym
from ropeway.manifest import Manifest
from ropeway.remote import ServiceCatalog
from ropeway.stores import LocalStore, Store, open_store
from ropeway.verify import verify
from ropeway_server.audit import AuditLog
from ropeway_server.database import Database
from ropeway_server.exposure import exposures
from ropeway_server.saved import SavedViews
from ropeway_server.views import Views
from ropeway_shardgen import report
from ropeway_shardgen.pack import Packed, pack
from ropeway_shardgen.plan import Settings
from ropeway_shardgen.pseudonyms import pseudonym as packed_pseudonym
from serving import serving

GONE = {"s1", "s5", "s16", "s20", "s21", "s22", "s23"}
"""Of several shards and splits; of `test` nobody is left."""

KEY = b"0123456789abcdef secret"


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    made = LocalStore(tmp_path / "store")
    tiny_store.build(made, content=SAMPLES)
    return made


def test_every_way_of_asking_agrees_that_they_are_gone(store: LocalStore) -> None:
    done = withdraw(store, DATASET, Named(sorted(GONE)))
    kept = left(GONE)
    assert done.samples == {"train": 6, "valid": 3, "test": 12}
    assert (done.subjects, sum(done.samples.values())) == (7, 72 - len(kept))
    catalog = StoreCatalog(store)
    view = catalog.query()
    assert view.samples == len(kept)
    assert indexed(store) == set(view.table().keys.to_pylist()) == keys_of(view) == set(kept)
    assert mounted(store) == files_of(kept)
    counted = {row["split"]: (row["samples"], row["subjects"]) for row in catalog.stats(["split"])}
    assert counted == {"train": (42, 14), "valid": (9, 3)}
    by_class = {row["label"]: row["samples"] for row in catalog.stats(["label"], task="sick")}
    assert by_class == Counter(["no", "yes"][sample.labels["sick"]] for sample in kept.values() if sample.labels)  # type: ignore[index]
    manifest = catalog.manifest(DATASET)
    assert {split.name: (split.samples, split.subjects) for split in manifest.splits} == counted
    assert {part.name: part.samples for part in manifest.parts} == Counter(p for s in kept.values() for p in s.parts)
    assert (manifest.withdrawn_subjects, manifest.provenance.parent) == (7, tiny_store.VERSION)
    (told,) = catalog.datasets()
    assert (told.samples, told.splits) == (len(kept), {"train": 42, "valid": 9})
    assert verify(store, manifest).problems == ()
    with pytest.raises(QueryError, match="no sample matches"):
        catalog.query(where="subject = 's5'")


def test_shards_stay_and_are_not_given_whole(store: LocalStore) -> None:
    before = {path: digest for path, digest in lifecycles.digests(store).items() if path.endswith(".tar")}
    withdraw(store, DATASET, Named(["s1"]))
    after = lifecycles.digests(store)
    assert {path: after[path] for path in before} == before
    assert not [path for path in after.keys() - before.keys() if path.endswith(".tar")]
    manifest = lifecycles.current(store)
    held = [(shard.path, shard.samples, shard.withdrawn) for shard in manifest.shards if shard.withdrawn]
    assert held == [(f"{tiny_store.VERSION}/train-000000.tar", 5, 3)]
    for write in WRITERS.values():
        with pytest.raises(UsageError, match="compact the dataset first"):
            write(store, manifest)
    with pytest.raises(UsageError, match="who reads shards whole would get the others"):
        StoreCatalog(store).query().urls()


def test_verify_finds_a_sample_too_much_beside_the_withdrawn(store: LocalStore) -> None:
    withdraw(store, DATASET, Named(["s1"]))
    manifest = lifecycles.current(store)
    for wrong, told in (
        (2, "3 samples are in the tar, but not in the index; 2 were withdrawn"),
        (0, "not in the index"),
    ):
        shards = tuple(replace(one, withdrawn=min(one.withdrawn, wrong)) for one in manifest.shards)
        problems = verify(store, replace(manifest, shards=shards)).problems
        assert any(told in problem for problem in problems), problems


@settings(max_examples=8)
@given(st.data())
def test_what_is_left_is_what_was_not_withdrawn_in_any_order(data: st.DataObject) -> None:
    made = open_store(f"memory://{uuid.uuid4()}")
    tiny_store.build(made, content=SAMPLES)
    order = data.draw(st.permutations([f"s{i}" for i in range(24)]))[: data.draw(st.integers(1, 24))]
    gone: set[str] = set()
    while order:
        some = [order.pop() for _ in range(data.draw(st.integers(1, len(order))))]
        withdraw(made, DATASET, Named([*some, *data.draw(st.lists(st.sampled_from(sorted(gone) or some)))]))
        gone |= set(some)
        if data.draw(st.booleans()):
            compact(made, DATASET)
        assert indexed(made) == set(left(gone))
    manifest = lifecycles.current(made)
    assert manifest.withdrawn_subjects == len(gone)
    assert verify(made, manifest).problems == ()
    compact(made, DATASET)
    erase(made, DATASET, planned(made, DATASET))
    assert indexed(made) == set(left(gone))
    assert lifecycles.traces(made, gone) == []


def test_the_version_is_a_digest_of_the_one_before_and_of_whom_it_lacks(tmp_path: Path) -> None:
    made = []
    for number, order in enumerate((["s1", "s5"], ["s5", "s1", "s5"], ["s1"])):
        one = LocalStore(tmp_path / str(number))
        tiny_store.build(one, content=SAMPLES)
        assert (
            withdraw(one, DATASET, Named(order), dry_run=True).version == withdraw(one, DATASET, Named(order)).version
        )
        made.append(lifecycles.digests(one))
    assert made[0] == made[1]
    assert made[0] != made[2]


def test_withdrawn_twice_is_nothing_to_do(store: LocalStore) -> None:
    withdraw(store, DATASET, Named(["s1", "s5"]))
    before = lifecycles.digests(store)
    again = withdraw(store, DATASET, Named(["s5", "s1"]))
    assert (again.subjects, again.already, again.parent) == (0, 2, "")
    assert lifecycles.digests(store) == before
    more = withdraw(store, DATASET, Named(["s5", "s6"]))
    assert (more.subjects, more.already) == (1, 1)
    assert indexed(store) == set(left({"s1", "s5", "s6"}))


def test_unknown_subjects_are_counted_not_named_and_nobody_is_withdrawn(store: LocalStore) -> None:
    before = lifecycles.digests(store)
    with pytest.raises(UsageError, match=r"2 of the 3 subjects are not in version 0123456789ab") as told:
        withdraw(store, DATASET, Named(["s1", "MRN-4711", "MRN-4712"]))
    assert "MRN" not in str(told.value)
    assert lifecycles.digests(store) == before
    with pytest.raises(UsageError, match="at least one subject"):
        withdraw(store, DATASET, Named([]))
    with pytest.raises(NotFound, match="no such dataset"):
        withdraw(store, "other", Named(["s1"]))


def test_two_withdrawals_at_once_both_hold(store: LocalStore) -> None:
    """The second happens in the moment before the first one's version becomes the current one."""
    raced: list[str] = []

    def race(made: Manifest, figures: object) -> None:
        if not raced:
            raced.append(made.version)
            withdraw(store, DATASET, Named(["s5"]))

    done = withdraw(store, DATASET, Named(["s1"]), announce=race)
    assert done.version not in raced
    assert indexed(store) == set(left({"s1", "s5"}))
    assert lifecycles.current(store).withdrawn_subjects == 2


def test_who_cannot_be_told_is_not_changed(store: LocalStore) -> None:
    """An audit that fails keeps the version from being seen."""

    def refuse(made: Manifest, figures: object) -> None:
        raise ServiceError("the database does not answer")

    with pytest.raises(ServiceError):
        withdraw(store, DATASET, Named(["s1"]), announce=refuse)
    assert indexed(store) == set(left(()))


def test_a_list_of_the_withdrawn_that_is_lost_or_damaged_is_told(store: LocalStore) -> None:
    made = withdraw(store, DATASET, Named(["s1"]))
    path = store.root / m.withdrawn_path(DATASET, made.version)
    assert "s1" not in json.loads(path.read_text())
    for content, told in ((b"[]", "0 subjects are on the list"), (b"{", "not a list"), (None, "missing: restore it")):
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(FormatError, match=told):
            withdraw(store, DATASET, Named(["s5"]))


def packed(tmp_path: Path, store: Store, samples: int = 20, key: bytes = b"") -> Packed:
    """A pack of the tiny recipe from a raw folder of so many samples, two of each patient."""
    raw = tmp_path / f"raw-{samples}"
    root = raw if raw.exists() else shardgen_raw.write_raw(raw, samples)
    return pack(shardgen_raw.recipe(), root, store, Settings(secret=key))


def told(done: Packed) -> str:
    console = Console(record=True, width=300, file=io.StringIO())
    report.show(console, done, "store", 1.0)
    return console.export_text()


def patients(store: Store) -> set[str]:
    """Numbers of the raw patients whose samples are left, by their keys."""
    return {f"P{int(key) // 2}" for key in StoreCatalog(store).query(datasets=["tiny"]).table().keys.to_pylist()}


def test_original_ids_are_found_by_the_key_that_named_them(tmp_path: Path) -> None:
    assert pseudonym("P3", "tiny", KEY) == packed_pseudonym("P3", "tiny", "subject", KEY)
    store = LocalStore(tmp_path / "store")
    packed(tmp_path, store, key=KEY)
    for key, why in ((b"", "packed with a pseudonym key: give"), (b"0123456789abcdef other", "another pseudonym key")):
        with pytest.raises(UsageError, match=why):
            withdraw(store, "tiny", Named(["P3"], original=True, key=key))
    withdraw(store, "tiny", Named(["P3", "P4"], original=True, key=KEY))
    assert patients(store) == {f"P{number}" for number in range(10)} - {"P3", "P4"}
    withdraw(store, "tiny", Named([pseudonym("P5", "tiny", KEY)]))
    assert "P5" not in patients(store)


def test_original_ids_need_no_key_where_there_was_none_and_pseudonyms_at_all(tmp_path: Path, store: LocalStore) -> None:
    unkeyed = LocalStore(tmp_path / "unkeyed")
    packed(tmp_path, unkeyed)
    with pytest.raises(UsageError, match="without a pseudonym key: leave it out"):
        withdraw(unkeyed, "tiny", Named(["P3"], original=True, key=KEY))
    withdraw(unkeyed, "tiny", Named(["P3"], original=True))
    assert "P3" not in patients(unkeyed)
    with pytest.raises(UsageError, match="no pseudonyms were made"):
        withdraw(store, DATASET, Named(["s1"], original=True))


def test_packing_again_brings_nobody_back_and_says_so(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    first = packed(tmp_path, store)
    withdraw(store, "tiny", Named(["P3"], original=True))
    without = {f"P{number}" for number in range(10)} - {"P3"}

    again = packed(tmp_path, store)
    assert (again.already_published, again.current, again.withdrawn) == (True, False, 1)
    assert "1 withdrawn subjects are not in the current version" in told(again)
    assert patients(store) == without

    more = packed(tmp_path, store, 30)
    assert more.manifest.version != first.manifest.version
    assert (more.already_published, more.current, more.withdrawn) == (False, False, 1)
    assert "1 withdrawn subjects are not in the current version" in told(more)
    assert report.as_json(more, "store", 1.0)["withdrawn_subjects"] == 1
    assert patients(store) == without | {f"P{number}" for number in range(10, 15)}
    manifest = StoreCatalog(store).manifest("tiny")
    assert (manifest.provenance.parent, manifest.withdrawn_subjects) == (more.manifest.version, 1)
    assert verify(store, manifest).problems == ()
    assert not packed(tmp_path, store, 30).current

    compact(store, "tiny")
    erase(store, "tiny", planned(store, "tiny"))
    for samples in (20, 30):
        before = lifecycles.digests(store)
        with pytest.raises(UsageError, match="was erased, because withdrawn subjects are in it"):
            packed(tmp_path, store, samples)
        assert lifecycles.digests(store) == before


def test_adopted_shards_are_left_where_they_are(tmp_path: Path) -> None:
    shards = foreign.write_shards(tmp_path / "raw", 3)
    store = open_store(tmp_path / "store")
    rules = Rules(subject="json.subject")
    adopt(store, "foreign", foreign.train(str(shards / "*.tar")), rules)
    withdraw(store, "foreign", Named(["s1"]))
    assert keys_of(StoreCatalog(store).query()) == {f"{i:05d}" for i in range(30) if i // 4 != 1}
    assert verify(store, StoreCatalog(store).manifest("foreign")).problems == ()
    before = lifecycles.digests(store)
    with pytest.raises(UsageError, match=r"1 shards with withdrawn samples were adopted.*take them out.*x-000\.tar"):
        compact(store, "foreign")
    assert lifecycles.digests(store) == before
    foreign.write_shard(shards / "x-003.tar", range(30, 40))
    done = adopt(store, "foreign", foreign.train(str(shards / "*.tar")), rules)
    assert (done.manifest.samples, done.withdrawn) == (40, 1)
    assert keys_of(StoreCatalog(store).query()) == {f"{i:05d}" for i in range(40) if i // 4 != 1}


def test_a_saved_view_from_before_is_refused_and_a_running_loader_is_not(store: LocalStore) -> None:
    catalog = StoreCatalog(store)
    view = catalog.query(split="train")
    catalog.save(view, "mine")
    batches = iter(lifecycles.loader(view))
    seen = set(next(batches)["__key__"])
    withdraw(store, DATASET, Named(["s1"]))
    for asked in (catalog, StoreCatalog(store)):
        for name in ("mine", view.id):
            with pytest.raises(Withdrawn, match="version 0123456789ab, which was before subjects were withdrawn"):
                asked.view(name)
    for batch in batches:
        seen |= set(batch["__key__"])
    assert seen == {sample.key for sample in SAMPLES if sample.split == "train"}
    untouched = StoreCatalog(store).query(split="valid")
    assert StoreCatalog(store).make(untouched.definition).id == untouched.id  # type: ignore[arg-type]
    compact(store, DATASET)
    erase(store, DATASET, planned(store, DATASET))
    with pytest.raises(Withdrawn, match="version 0123456789ab, which was erased"):
        StoreCatalog(store).view("mine")


def test_a_service_refuses_views_from_before_and_its_audit_says_why(store: LocalStore, sqlite: str) -> None:
    with serving(str(store.root), sqlite) as url:
        catalog = ServiceCatalog(url)
        view = catalog.query(split="train")
        catalog.sample(catalog.manifest(DATASET), SAMPLES[3].key)
        ropeway.connect(str(store.root)).save(view, "mine")
        batches = iter(lifecycles.loader(view))
        seen = set(next(batches)["__key__"])
        done = ropeway_cli("withdraw", DATASET, "s1", "--store", str(store.root), "--database", sqlite, "--json")
        assert json.loads(done)["samples"] == {"train": 3}
        while catalog.datasets()[0].samples == len(SAMPLES):  # a service looks for new versions once a second
            sleep(0.05)
        assert keys_of(catalog.query()) == set(left({"s1"}))
        for name in ("mine", view.id):
            with pytest.raises(Withdrawn, match="before subjects were withdrawn"):
                catalog.view(name)
        with pytest.raises(Withdrawn):
            catalog.make(view.definition)  # type: ignore[arg-type]
        answer = guarded.call("GET", f"{url}/v1/views/{view.id}")
        assert (answer.status, answer.json()["type"]) == (410, "Withdrawn")
        for batch in batches:
            seen |= set(batch["__key__"])
        assert seen == {sample.key for sample in SAMPLES if sample.split == "train"}
        with pytest.raises(NotFound):
            catalog.sample(catalog.manifest(DATASET), SAMPLES[3].key)
    state = Database(sqlite)
    first = lifecycles.current(store).version
    figures = {"subjects": 1, "samples": 3}
    assert by_stewards(state) == {"subjects withdrawn": {"version": first, "parent": tiny_store.VERSION, **figures}}
    assert {("view made", view.id, "selected"), ("sample read", "", "selected")} <= who_saw(store, state)
    ropeway_cli("compact", DATASET, "--store", str(store.root), "--database", sqlite, "--erase", "--yes")
    last, found = lifecycles.current(store).version, by_stewards(state)
    assert found["compacted"] == {"version": last, "parent": first, "shards": 1, "samples": 3}
    assert (found["versions erased"]["version"], found["versions erased"]["versions"]) == (last, 2)
    assert {("view made", view.id, "unknown"), ("sample read", "", "unknown")} <= who_saw(store, state)
    with serving(str(store.root), sqlite) as url, pytest.raises(Withdrawn, match="which was erased"):
        ServiceCatalog(url).view("mine")
    state.close()


def by_stewards(state: Database) -> dict[str, Any]:
    """What the audit knows of what was done by the command line."""
    events = [one.event for one in AuditLog(state).events(dataset=DATASET)]
    return {event.action: dict(event.detail) for event in events if event.principal.startswith("cli:")}


def who_saw(store: Store, state: Database) -> set[tuple[str, str, str]]:
    """What was done to the subject s1, in which view, and how they are in it."""
    fresh = StoreCatalog(store)
    found = exposures(AuditLog(state), fresh, Views(fresh, SavedViews(state)), DATASET, "s1")
    return {(one.action, one.view, one.how) for one in found}


def ropeway_cli(*arguments: str, stdin: str = "") -> str:
    """What the command line says, or the one line of what is wrong."""
    done = CliRunner().invoke(make_app(), arguments, input=stdin)
    return str(done.exception) if isinstance(done.exception, RopewayError) else done.stdout


def test_as_a_steward_types_it(store: LocalStore) -> None:
    where = ("--store", str(store.root))
    before = lifecycles.digests(store)
    shown = ropeway_cli("withdraw", DATASET, "--subjects", "-", *where, "--dry-run", stdin="s1\n\n s5 \n")
    assert "would withdraw 2 subjects from tiny: 6 samples (6 train)" in shown
    assert "3 shards" in shown
    assert lifecycles.digests(store) == before
    listed = store.root.parent / "subjects.txt"
    listed.write_text("s5\n")
    shown = ropeway_cli("withdraw", DATASET, "s1", "--subjects", str(listed), *where)
    assert "withdrew 2 subjects from tiny: 6 samples (6 train); version" in shown
    assert "hold them until `ropeway compact --erase`" in shown
    assert "nothing to do: all 1 were withdrawn from tiny before" in ropeway_cli("withdraw", DATASET, "s1", *where)
    assert "without  2 subjects who were withdrawn; 6 samples lie in shards" in ropeway_cli("show", DATASET, *where)
    database = f"sqlite:///{store.root.parent}/nowhere.db"
    problem = ropeway_cli("withdraw", DATASET, "s7", *where, "--database", database)
    assert "no service has kept its state in" in problem
    assert "--original" in ropeway_cli("withdraw", DATASET, "s7", *where, "--pseudonym-key", "key")
    assert "cannot read the list" in ropeway_cli("withdraw", DATASET, "--subjects", "none.txt", *where)
    assert indexed(store) == set(left({"s1", "s5"}))
