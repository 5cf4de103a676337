"""Views and statistics of a catalog in-process: what a view's id stands for, and counts against counting."""

import pickle
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from indexed import SIZE, VERSION, publish, row
from ropeway import codes, counting
from ropeway import manifest as m
from ropeway.catalog import StoreCatalog, connect
from ropeway.definition import Selected
from ropeway.errors import FormatError, NotFound, QueryError, UsageError
from ropeway.index import Row
from ropeway.indexed import Indexed
from ropeway.selection import merge_parts
from ropeway.stores import Store, open_store
from ropeway.tar import Span

OTHER = "ba9876543210"
RHYTHM = m.Task(id="rhythm", type="multiclass", classes=("SR", "it's AF"))
FINDINGS = m.Task(id="findings", type="multilabel", classes=("a", "b", "c"))
EF = m.Task(id="ef", type="regression")
META = {"age": "integer", "Site": "string"}


def rows(first: int = 0) -> list[Row]:
    """40 samples; every combination of a few labels, sites and splits, with gaps."""
    found = [
        row(
            number, split=("train", "train", "test")[number % 3], subject=f"s{number // 4}" if number % 5 else None,
            parts=["x", "note"] if number % 2 else ["x"],
            labels={
                "rhythm": [0, 1, None][number % 3],
                "findings": [[0], [0, 2], [], None][number % 4],
                "ef": number / 2,
            },
            meta={"age": number if number % 7 else None, "Site": "AB"[number % 2]},
        )
        for number in range(first, first + 40)
    ]  # fmt: skip
    return sorted(found, key=lambda r: m.SPLITS.index(r.split))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = open_store(tmp_path)
    publish(store, "one", rows(), parts=["x", "note"], tasks=[RHYTHM, FINDINGS, EF], meta=META)
    publish(store, "two", [row(n, subject=f"t{n}", labels={"rhythm": n % 2}) for n in range(9)], tasks=[RHYTHM],
            domain="CXR", modalities=["cxr", "text"])  # fmt: skip
    return store


@pytest.fixture
def catalog(store: Store) -> StoreCatalog:
    return StoreCatalog(store)


class TestViewId:
    """Content-addressed: it names samples and versions, not how they were asked for."""

    def test_two_filters_that_select_the_same_give_one_view(self, catalog: StoreCatalog) -> None:
        one = catalog.query(split="train", where="age >= 10")
        other = catalog.query(where="not (age < 10) and split = 'train' and Site in ('A', 'B')", datasets=["one"])
        assert one.id == other.id
        assert one is other
        assert len(one.id) == 16

    def test_it_is_the_same_in_another_process_and_year(self, catalog: StoreCatalog) -> None:
        """Golden: a job that resumes names its view by this id."""
        assert catalog.query(split="train", where="age >= 10").id == "92be659254fd2bc5"
        assert catalog.query(task="rhythm").id == "e4e882fe49123aca"

    def test_it_does_not_depend_on_how_the_index_is_cut_into_files_or_on_other_datasets(
        self, catalog: StoreCatalog, tmp_path: Path
    ) -> None:
        alone = open_store(tmp_path / "alone")
        publish(alone, "one", rows(), parts=["x", "note"], tasks=[RHYTHM, FINDINGS, EF], meta=META)
        assert StoreCatalog(alone).query(where="age > 3").id == catalog.query(where="age > 3", datasets=["one"]).id

    def test_other_samples_other_task_or_other_version_are_other_views(self, store: Store) -> None:
        catalog = StoreCatalog(store)
        ids = {
            catalog.query().id,
            catalog.query(datasets=["one"]).id,
            catalog.query(datasets=["two"]).id,
            catalog.query(datasets=["one"], where="key <> 'k39'").id,
            catalog.query(datasets=["one"], task="ef").id,
        }
        moved = [Row(**{**_fields(r), "shard": r.shard.replace(VERSION, OTHER)}) for r in rows()]
        publish(store, "one", moved, version=OTHER, parts=["x", "note"], tasks=[RHYTHM, FINDINGS, EF], meta=META)
        ids.add(StoreCatalog(store).query(datasets=["one"]).id)
        assert len(ids) == 6

    def test_an_old_version_still_gives_its_view(self, store: Store) -> None:
        catalog = StoreCatalog(store)
        before = catalog.query(datasets=["one"], where="age > 3")
        publish(store, "one", rows(100), version=OTHER, parts=["x", "note"], tasks=[RHYTHM, FINDINGS, EF], meta=META)
        assert isinstance(before.definition, Selected)
        again = StoreCatalog(store).select(before.definition.query, before.datasets)
        assert again.id == before.id
        assert again.table().keys.equals(before.table().keys)
        assert StoreCatalog(store).query(datasets=["one"], where="age > 3").id != before.id


def _fields(stored: Row) -> dict[str, Any]:
    return {name: getattr(stored, name) for name in Row.__struct_fields__}


class TestView:
    """What a view knows."""

    def test_samples_come_in_storage_order_with_their_places(self, catalog: StoreCatalog) -> None:
        table = catalog.query(where="Site = 'A' or dataset = 'two'").table()
        where = [table.shards[number].path for number in table.shard]
        assert where == sorted(where, key=lambda path: (path.split("/")[0], "test" in path))
        for shard in set(table.shard.tolist()):
            offsets = table.offset[table.shard == shard]
            assert (np.diff(offsets) > 0).all()
        for key, offset, length, crc in zip(
            table.keys.to_pylist(), table.offset, table.length, table.crc32c, strict=True
        ):
            number = int(key[1:])
            assert (offset, length, crc) == (number * SIZE, SIZE, number)

    def test_its_numbers_are_those_of_its_samples(self, catalog: StoreCatalog) -> None:
        view = catalog.query(task="findings", split="test")
        expected = [r for r in rows() if r.split == "test" and r.labels["findings"] is not None]
        assert view.samples == len(expected) == len(view.table())
        assert view.bytes == SIZE * len(expected)
        assert view.datasets == {"one": VERSION}
        labels: list[Any] = [r.labels["findings"] for r in expected]
        counts = Counter(name for label in labels for name in label)
        assert view.label_counts("findings") == {"a": counts[0], "b": 0, "c": counts[2]}
        assert [task.id for task in view.info.tasks] == ["findings", "rhythm", "ef"]
        assert repr(view).startswith(f"<View {view.id}: {len(expected)} samples")
        with pytest.raises(
            UsageError, match="no task with classes named 'ef' in this view; there is: findings, rhythm"
        ):
            view.label_counts("ef")

    def test_conditions_beside_the_filter(self, catalog: StoreCatalog) -> None:
        assert catalog.query(domain="CXR").samples == 9
        assert catalog.query(modality="text").samples == 9
        assert catalog.query(parts=["note"]).samples == 20
        assert catalog.query(parts=["note", "x"], split="test").samples == sum(
            "note" in r.parts and r.split == "test" for r in rows()
        )

    def test_parts_of_several_datasets_are_merged(self, catalog: StoreCatalog) -> None:
        parts = {part.name: part for part in catalog.query().info.parts}
        assert parts["x"].samples == 49
        assert parts["note"].samples == 20

    def test_it_is_rebuilt_by_pickle(self, catalog: StoreCatalog) -> None:
        view = catalog.query(where="age > 3")
        again = pickle.loads(pickle.dumps(view))
        assert again.id == view.id
        assert again.table().keys.equals(view.table().keys)

    def test_it_is_found_by_its_id_while_it_is_used(self, catalog: StoreCatalog) -> None:
        view = catalog.query(where="age > 3")
        assert catalog.view(view.id) is view
        with pytest.raises(NotFound, match="no view 0000000000000000 is saved here"):
            catalog.view("0" * 16)

    def test_many_threads_may_ask_at_once(self, catalog: StoreCatalog) -> None:
        def ask(number: int) -> int:
            return catalog.query(where=f"age >= {number} or dataset = 'two'").samples

        expected = [sum((n or 0) >= number for n in range(40) if n % 7) + 9 for number in range(40)]
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(ask, range(40))) == expected


ASKED: list[dict[str, Any]] = [
    {"datasets": ["one", "three"]}, {"task": "sex"}, {"split": "dev"}, {"parts": ["mri"]}, {"domain": "MRI"},
    {"where": "age > 1000"}, {"task": "rhythm", "where": "label = 'SR'", "datasets": ["one"], "split": "valid"},
]  # fmt: skip
SAYS = [
    "unknown dataset 'three'; there is: one, two", "unknown task 'sex'; there is: ef, findings, rhythm",
    "unknown split 'dev'; there is: train, valid, test", "unknown part 'mri'; there is: note, x",
    "no dataset matches: domain='MRI'", "no sample matches: where='age > 1000'",
    "no sample matches: task='rhythm', split='valid', where=\"label = 'SR'\", datasets=('one',)",
]  # fmt: skip


@pytest.mark.parametrize(("asked", "says"), list(zip(ASKED, SAYS, strict=True)), ids=SAYS)
def test_what_is_not_there_is_named(catalog: StoreCatalog, asked: dict[str, Any], says: str) -> None:
    with pytest.raises(QueryError) as caught:
        catalog.query(**asked)
    assert says in str(caught.value)


def test_datasets_are_a_list(catalog: StoreCatalog) -> None:
    with pytest.raises(UsageError, match=r"write datasets=\['one'\]"):
        catalog.query(datasets="one")


class TestTasksThatConflict:
    """The same id must mean the same thing in all that is selected."""

    @pytest.mark.parametrize(
        "other",
        [
            m.Task(id="rhythm", type="multiclass", classes=("it's AF", "SR")),
            m.Task(id="rhythm", type="multilabel", classes=RHYTHM.classes),
            m.Task(id="rhythm", type="regression"),
        ],
    )
    def test_is_refused_where_both_are_selected(self, store: Store, other: m.Task) -> None:
        label: Any = {"multiclass": 1, "multilabel": [1], "regression": 0.5}[other.type]
        publish(store, "three", [row(0, labels={"rhythm": label})], tasks=[other])
        catalog = StoreCatalog(store)
        for ask in (
            lambda: catalog.query(task="rhythm"),
            catalog.query,
            lambda: catalog.stats(["label"], task="rhythm"),
        ):
            with pytest.raises(QueryError, match="task 'rhythm' has another type or other classes") as caught:
                ask()
            assert caught.value.dataset in ("three", "two")
        assert catalog.query(task="rhythm", datasets=["one", "two"]).samples == 36
        alone = catalog.query(task="rhythm", datasets=["three"])
        assert alone.info.tasks == (other,)
        if other.type == "multiclass":
            assert catalog.query(task="rhythm", datasets=["three"], where="label = 'SR'").id == alone.id


class TestStats:
    """Counts by any columns, against counting the rows one by one."""

    def counted(
        self, found: Sequence[dict[str, Any]], by: Sequence[str]
    ) -> dict[tuple[Any, ...], tuple[int, int, int]]:
        sizes = [(line["samples"], line["bytes"], line["subjects"]) for line in found]
        keys = [tuple(line[name] for name in by) for line in found]
        assert len(set(keys)) == len(keys)
        assert [samples for samples, _, _ in sizes] == sorted((s for s, _, _ in sizes), reverse=True)
        return dict(zip(keys, sizes, strict=True))

    def expected(self, groups: Sequence[tuple[tuple[Any, ...], Row]]) -> dict[tuple[Any, ...], tuple[int, int, int]]:
        members: defaultdict[tuple[Any, ...], list[Row]] = defaultdict(list)
        for group, stored in groups:
            members[group].append(stored)
        return {
            group: (len(found), SIZE * len(found), len({r.subject for r in found} - {None}))
            for group, found in members.items()
        }

    def test_by_nothing(self, catalog: StoreCatalog) -> None:
        assert catalog.stats([], datasets=["one"]) == [{"samples": 40, "bytes": 40 * SIZE, "subjects": 10}]
        assert catalog.stats([], where="age > 1000") == []

    def test_answers_about_all_samples_are_kept_and_those_about_some_are_not(
        self, catalog: StoreCatalog, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[tuple[str, ...]] = []
        count = counting.count

        def noted(indexed: Indexed, rows: Any, by: Sequence[str], *more: Any) -> Any:
            asked.append(tuple(by))
            return count(indexed, rows, by, *more)

        monkeypatch.setattr(counting, "count", noted)
        for _ in range(2):
            assert catalog.stats(["Site"], datasets=["one"]) == catalog.stats(["Site"], datasets=["one"])
            catalog.stats(["Site"], datasets=["one"], where="age < 20")
        assert asked == [("Site",)] * 3
        for length in range(1, 80):
            catalog.stats(["split"] * length, datasets=["two"])
        before = len(asked)
        catalog.stats(["split"], datasets=["two"])
        assert len(asked) == before + 1  # the oldest of many was let go

    def test_columns_of_few_values_are_numbered_when_an_index_is_read(
        self, catalog: StoreCatalog, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lengths = list[int]()

        def numbered(stored: pa.Array, place: Any) -> codes.Codes:
            lengths.append(len(stored))
            return codes.coded(stored, place)

        monkeypatch.setattr("ropeway.indexed.coded", numbered)
        catalog.stats([], datasets=["one"])
        before = len(lengths)
        assert before == 3  # split, Site and age
        catalog.stats(["split", "site", "age"], datasets=["one"])
        assert len(lengths) == before
        catalog.stats(["key"], datasets=["one"])
        assert len(lengths) == before + 1

    def test_by_columns_of_rows_and_datasets(self, catalog: StoreCatalog) -> None:
        by = ["domain", "split", "Site"]
        found = self.counted(catalog.stats(by), by)
        two = [row(n, subject=f"t{n}") for n in range(9)]
        expected = self.expected(
            [(("ECG", r.split, r.meta["Site"]), r) for r in rows()] + [(("CXR", "train", None), r) for r in two]
        )
        assert found == expected

    def test_by_label_names_the_classes(self, catalog: StoreCatalog) -> None:
        found = self.counted(catalog.stats(["label"], task="rhythm", datasets=["one"]), ["label"])
        labelled = [(r, r.labels["rhythm"]) for r in rows() if r.labels["rhythm"] is not None]
        assert found == self.expected([((RHYTHM.classes[int(label)],), r) for r, label in labelled])  # type: ignore[arg-type]

    def test_a_multilabel_sample_counts_in_each_of_its_classes(self, catalog: StoreCatalog) -> None:
        by = ["label", "split"]
        found = self.counted(catalog.stats(by, task="findings"), by)
        several: list[tuple[Row, Any]] = [(r, r.labels["findings"]) for r in rows()]
        assert found == self.expected(
            [((FINDINGS.classes[n], r.split), r) for r, labels in several for n in labels or []]
        )

    def test_with_a_filter(self, catalog: StoreCatalog) -> None:
        found = self.counted(catalog.stats(["site"], where="age < 20", split="train"), ["site"])
        expected = [r for r in rows() if r.split == "train" and r.meta["age"] is not None and int(r.meta["age"]) < 20]
        assert found == self.expected([((r.meta["Site"],), r) for r in expected])

    def test_a_number_is_its_own_group(self, catalog: StoreCatalog) -> None:
        assert len(catalog.stats(["label"], task="ef")) == 40

    def test_an_unknown_column_is_named(self, catalog: StoreCatalog) -> None:
        with pytest.raises(QueryError, match="unknown column 'sex' in by; there is: age, dataset, domain, key"):
            catalog.stats(["sex"])
        with pytest.raises(QueryError, match="unknown column 'label' in by"):
            catalog.stats(["label"])


class TestCatalog:
    """What a store holds."""

    def test_lists_datasets_and_tasks(self, catalog: StoreCatalog) -> None:
        one, two = catalog.datasets()
        assert (one.id, one.version, one.samples, one.splits) == ("one", VERSION, 40, {"train": 27, "test": 13})
        assert (two.id, two.parts, two.tasks, two.subjects) == ("two", ("x",), ("rhythm",), 9)
        assert {info.task.id: info.datasets for info in catalog.tasks()} == {
            "ef": ("one",), "findings": ("one",), "rhythm": ("one", "two"),
        }  # fmt: skip

    def test_gives_one_sample(self, catalog: StoreCatalog) -> None:
        found = catalog.sample(catalog.manifest("one"), "k5")
        assert found.span == Span(5 * SIZE, SIZE)
        assert found.parts == {"x": Span(5 * SIZE + 512, 105), "note": Span(5 * SIZE + 512, 105)}
        assert found.labels == {"rhythm": None, "findings": ["a", "c"], "ef": 2.5}
        assert found.meta == {"age": 5, "Site": "B"}
        with pytest.raises(NotFound, match="no such sample") as caught:
            catalog.sample(catalog.manifest("one"), "k5' or '1'='1")
        assert caught.value.dataset == "one"

    def test_folders_that_are_no_datasets_are_let_be(self, store: Store) -> None:
        for path in ("lost+found/x", ".git/config", "Not A Dataset/x", "begun/0123456789ab/train-000000.tar", "file"):
            store.put(path, b"x")
        assert [info.id for info in StoreCatalog(store).datasets()] == ["one", "two"]

    def test_an_empty_store_says_so(self, tmp_path: Path) -> None:
        catalog = StoreCatalog(open_store(tmp_path))
        assert catalog.datasets() == []
        assert catalog.tasks() == []
        with pytest.raises(QueryError, match="the store holds no dataset: pack one first"):
            catalog.query()

    def test_a_published_dataset_without_its_manifest_is_an_error(self, store: Store) -> None:
        """Not a dataset that is silently not there."""
        store.delete(m.manifest_path("two", VERSION))
        with pytest.raises(NotFound) as caught:
            StoreCatalog(store).datasets()
        assert m.manifest_path("two", VERSION) in str(caught.value)

    def test_a_manifest_in_the_wrong_place_is_an_error(self, store: Store) -> None:
        store.put(m.manifest_path("two", VERSION), store.load(m.manifest_path("one", VERSION))[0])
        with pytest.raises(FormatError, match=f"the manifest is of one@{VERSION}") as caught:
            StoreCatalog(store).manifest("two")
        assert f"two/{VERSION}/manifest.json" in str(caught.value)

    def test_a_dataset_that_is_not_there_is_named(self, catalog: StoreCatalog) -> None:
        with pytest.raises(NotFound, match="no such dataset") as caught:
            catalog.manifest("three")
        assert caught.value.dataset == "three"

    def test_a_path_and_a_url_are_the_same_catalog(self, store: Store, tmp_path: Path) -> None:
        by_path, by_url = connect(str(tmp_path)), connect(tmp_path.as_uri())
        assert by_path.query().id == by_url.query().id


def test_merged_parts_keep_what_they_share() -> None:
    shared: dict[str, Any] = {"name": "x", "kind": "signal", "format": "npy", "axes": ("lead", "time"), "units": "µV"}
    one = m.Part(**shared, dtype="<i2", shape=(12, 1000), sampling_rate=500.0, channels=("I",), samples=2)
    other = m.Part(**shared, dtype="<f4", shape=(12, 5000), sampling_rate=100.0, channels=("II",), samples=3)
    assert merge_parts(one, one) == m.Part(**{**_part(one), "samples": 4})
    assert merge_parts(one, other) == m.Part(**shared, shape=(12, None), samples=5)
    assert merge_parts(one, m.Part(name="x", kind="signal", format="npz", shape=(3,))).shape is None


def _part(part: m.Part) -> dict[str, Any]:
    return {name: getattr(part, name) for name in m.Part.__dataclass_fields__}
