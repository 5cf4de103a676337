"""Joined views: the partner is the one that a plain search finds, and its bytes arrive beside the sample's own."""

import pickle
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ropeway
import tiny_store
from packed import npy
from ropeway import joins
from ropeway import manifest as m
from ropeway.catalog import StoreCatalog
from ropeway.errors import UsageError
from ropeway.stores import open_store
from ropeway.view import View
from serving import serving
from tiny_store import Sample

FINDING = m.Task(id="finding", type="multilabel", classes=("a", "b"))
RHYTHM = m.Task(id="rhythm", type="multiclass", classes=("sinus", "afib"))
META = {"time": "number", "taken": "string", "stay": "integer"}


def ecg(number: int, subject: str | None, hour: float | None, *, split: m.SplitName = "train") -> Sample:
    taken = None if hour is None else f"2180-05-{1 + int(hour) // 24:02d} {int(hour) % 24:02d}:00:00"
    return Sample(
        key=f"e{number:03d}", parts={"ecg": ("npy", npy(np.full(3, number, "<i2")))}, split=split, subject=subject,
        labels={"rhythm": number % 2}, meta={"time": None if hour is None else hour * 3600, "taken": taken, "stay": 1},
    )  # fmt: skip


def cxr(number: int, subject: str | None, hour: float | None, *, split: m.SplitName = "train") -> Sample:
    taken = None if hour is None else f"2180-05-{1 + int(hour) // 24:02d}T{int(hour) % 24:02d}:00:00"
    return Sample(
        key=f"c{number:03d}", split=split, subject=subject, labels={"finding": [number % 2]},
        parts={"cxr": ("bin", bytes([number]) * (20 + number)), "note": ("txt", f"note {number}".encode())},
        meta={"time": None if hour is None else hour * 3600, "taken": taken, "stay": 1},
    )  # fmt: skip


def publish(root: Path, ecgs: Sequence[Sample], cxrs: Sequence[Sample], other: str = "mimic") -> StoreCatalog:
    store = open_store(root)
    for name, content, task, namespace in (("ecg", ecgs, RHYTHM, "mimic"), ("cxr", cxrs, FINDING, other)):
        tiny_store.build(store, name, content, tasks=[task], meta=META, namespace=namespace, per_shard=3)
    return StoreCatalog(store)


def sides(catalog: Any) -> tuple[View, View]:
    return catalog.query(datasets=["ecg"]), catalog.query(datasets=["cxr"])


def pairs(view: View) -> list[tuple[str, str]]:
    table = view.table()
    return list(zip(table.keys.to_pylist(), table.partners[0].keys.to_pylist(), strict=True))


ECGS = [ecg(0, "p1", 10), ecg(1, "p1", 100), ecg(2, "p2", 10), ecg(3, "p3", 10), ecg(4, None, 10), ecg(5, "p2", None)]
CXRS = [cxr(0, "p1", 40), cxr(1, "p1", 11), cxr(2, "p2", 59), cxr(3, "p4", 10), cxr(4, None, 10), cxr(5, "p3", None)]


@pytest.fixture
def catalog(tmp_path: Path) -> StoreCatalog:
    return publish(tmp_path / "store", ECGS, CXRS)


def test_the_partner_is_the_nearest_in_time(catalog: StoreCatalog) -> None:
    one, other = sides(catalog)
    assert pairs(one.join(other, within="48h")) == [("e000", "c001")]
    assert pairs(one.join(other, within="49h")) == [("e000", "c001"), ("e002", "c002")]
    assert pairs(one.join(other, within="60h")) == [("e000", "c001"), ("e001", "c000"), ("e002", "c002")]
    assert pairs(one.join(other, within="2.5d", time="taken")) == pairs(one.join(other, within="60h"))


def test_samples_without_a_partner_stay_when_asked(catalog: StoreCatalog) -> None:
    one, other = sides(catalog)
    kept = one.join(other, within="48h", missing="keep")
    assert pairs(kept) == [("e000", "c001"), *((f"e00{number}", "") for number in range(1, 6))]
    assert kept.label_counts("finding") == {"a": 0, "b": 1}
    assert kept.label_counts("rhythm") == one.label_counts("rhythm")
    assert kept.columns(["key", "subject", "time"]).equals(one.columns(["key", "subject", "time"]))


def test_a_joined_view_tells_what_it_is_made_of(catalog: StoreCatalog) -> None:
    one, other = sides(catalog)
    joined = one.join(other, within="60h")
    assert [part.name for part in joined.info.parts] == ["ecg", "cxr", "note"]
    assert [task.id for task in joined.info.tasks] == ["rhythm", "finding"]
    assert set(joined.datasets) == {"ecg", "cxr"}
    table = joined.table()
    assert joined.bytes == table.length.sum() + table.partners[0].length.sum()
    ids = {
        joined.id,
        one.id,
        other.id,
        one.join(other, within="49h").id,
        one.join(other, within="60h", missing="keep").id,
    }
    assert len(ids) == 5
    assert one.join(other, within="60h").id == joined.id


Drawn = st.tuples(st.integers(0, 3), st.none() | st.integers(0, 6), st.sampled_from(m.SPLITS))


@settings(max_examples=40, deadline=None)
@given(st.lists(Drawn, min_size=1, max_size=8), st.lists(Drawn, min_size=1, max_size=8), st.integers(0, 4))
def test_partners_are_those_of_a_plain_search(
    tmp_path_factory: pytest.TempPathFactory, left: list[Any], right: list[Any], hours: int
) -> None:
    ecgs = [ecg(n, f"p{who}" if who else None, hour, split=split) for n, (who, hour, split) in enumerate(left)]
    cxrs = [cxr(n, f"p{who}" if who else None, hour, split=split) for n, (who, hour, split) in enumerate(right)]
    catalog = publish(tmp_path_factory.mktemp("join"), ecgs, cxrs)
    one, other = sides(catalog)
    stored = sorted(cxrs, key=lambda sample: m.SPLITS.index(sample.split))
    expected = []
    for sample in sorted(ecgs, key=lambda sample: m.SPLITS.index(sample.split)):
        fits = [
            (abs(there.meta["time"] - sample.meta["time"]), there.meta["time"], place, there.key)  # type: ignore[operator]
            for place, there in enumerate(stored)
            if None not in (sample.subject, there.subject, sample.meta["time"], there.meta["time"])
            and (sample.subject, sample.split) == (there.subject, there.split)
            and abs(there.meta["time"] - sample.meta["time"]) <= hours * 3600  # type: ignore[operator]
        ]
        expected.append((sample.key, min(fits)[3] if fits else ""))
    if not any(partner for _, partner in expected):
        with pytest.raises(UsageError, match="no sample has a partner"):
            one.join(other, within=f"{hours}h", missing="keep")
        return
    assert pairs(one.join(other, within=f"{hours}h", missing="keep")) == expected
    assert pairs(one.join(other, within=f"{hours}h")) == [pair for pair in expected if pair[1]]


def many(tmp_path: Path) -> StoreCatalog:
    rng = random.Random(0)
    people = [f"p{number}" for number in range(20)]
    ecgs = [ecg(number, rng.choice(people), rng.randrange(200)) for number in range(60)]
    return publish(tmp_path / "store", ecgs, [cxr(n, rng.choice(people), rng.randrange(200)) for n in range(40)])


def check_batches(view: View, expected: dict[str, str], **how: Any) -> None:
    """Every sample arrives once, with the bytes of its own partner."""
    seen = dict[str, str]()
    for batch in ropeway.StreamingLoader(view, 4, tail="pad", seed=1, **how):
        for place, key in enumerate(batch["__key__"]):
            if not batch["__mask__"][place]:
                continue
            number = int(key[1:])
            assert batch["ecg"][place].tolist() == [number] * 3
            assert batch["task.rhythm"][place] == number % 2
            there = bool(batch["__present__"]["cxr"][place]) if "__present__" in batch else True
            assert (batch["note"][place] is not None) == there
            seen[key] = f"c{int(batch['note'][place].split()[1]):03d}" if there else ""
            if there:
                partner = int(seen[key][1:])
                assert bytes(batch["cxr"][place]) == bytes([partner]) * (20 + partner)
                assert batch["task.finding"][place].tolist() == [1 - partner % 2, partner % 2]
    assert seen == expected


@pytest.mark.parametrize("missing", ["drop", "keep"])
@pytest.mark.parametrize("place", ["folder", "service", "s3"])
def test_joined_views_stream_like_any_other(
    tmp_path: Path, missing: Any, place: str, request: pytest.FixtureRequest
) -> None:
    catalog = many(tmp_path)
    one, other = sides(catalog)
    joined = one.join(other, within="20h", missing=missing)
    expected = dict(pairs(joined))
    assert len(set(expected.values())) > 10
    decoders: dict[str, Any] = {"bin": bytes}
    if place == "folder":
        check_batches(joined, expected, decoders=decoders)
    elif place == "service":
        with serving(str(tmp_path / "store")) as service:
            far = sides(ropeway.connect(service))
            again = far[0].join(far[1], within="20h", missing=missing)
            assert again.info == joined.info
            check_batches(again, expected, decoders=decoders)
            assert joined.definition is not None
            made = ropeway.connect(service).make(joined.definition)  # by the service
            assert made.info == joined.info
            assert pairs(made) == pairs(joined)
            check_batches(made, expected, decoders=decoders)
    else:
        url = f"s3://{request.getfixturevalue('bucket')}/joined"
        store = open_store(url)
        for stat in catalog.store.objects():
            store.put(stat.path, bytes(catalog.store.read(stat.path)))
        far = sides(ropeway.connect(url))
        check_batches(far[0].join(far[1], within="20h", missing=missing), expected, decoders=decoders)


def test_parts_of_one_side_read_only_that_side(tmp_path: Path) -> None:
    catalog = many(tmp_path)
    one, other = sides(catalog)
    joined = one.join(other, within="20h")
    for path in (tmp_path / "store" / "cxr" / tiny_store.VERSION).glob("*.tar"):
        path.unlink()
    loader = ropeway.StreamingLoader(joined, 4, parts=["ecg"])
    assert all(set(batch) == {"ecg", "__key__", "task.rhythm", "task.finding"} for batch in loader)


def test_three_sides_join_and_a_join_can_be_subset(tmp_path: Path) -> None:
    catalog = many(tmp_path)
    store = catalog.store
    rows = [
        Sample(key=f"v{n}", parts={"vitals": ("txt", f"vitals {n}".encode())}, subject=f"p{n}", meta={"time": 0.0})
        for n in range(20)
    ]
    tiny_store.build(store, "ehr", rows, tasks=(), meta={"time": "number"}, namespace="mimic")
    one, other = sides(catalog)
    joined = one.join(other, within="20h").join(catalog.query(datasets=["ehr"]))
    people = dict(zip(one.table().keys.to_pylist(), one.columns(["subject"]).column(0).to_pylist(), strict=True))
    expected = {key: (cxr_key, f"v{people[key][1:]}") for key, cxr_key in pairs(one.join(other, within="20h"))}
    for view, whole in ((joined, True), (joined.limit(7), False), (joined.few_shot("rhythm", per_class=3), False)):
        table = view.table()
        found = dict(
            zip(table.keys.to_pylist(),
                zip(*(partner.keys.to_pylist() for partner in table.partners), strict=True), strict=True)
        )  # fmt: skip
        assert found == (expected if whole else {key: expected[key] for key in found})
        for batch in ropeway.StreamingLoader(view, 2, decoders={"bin": bytes}):
            for key, note, vitals in zip(batch["__key__"], batch["note"], batch["vitals"], strict=True):
                assert (int(note.split()[1]), vitals) == (int(found[key][0][1:]), f"vitals {found[key][1][1:]}")
    again = pickle.loads(pickle.dumps(joined))
    assert again.table().keys.equals(joined.table().keys)


def test_subjects_of_other_namespaces_are_nobodys(tmp_path: Path) -> None:
    for other in ("elsewhere", ""):
        one, two = sides(publish(tmp_path / (other or "none"), ECGS, CXRS, other))
        with pytest.raises(UsageError, match="pseudonyms of different namespaces"):
            one.join(two, within="48h")
        assert pairs(one.join(two, on="stay", within="1h"))[0] == ("e000", "c003")


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"within": "48 hours"}, "a duration is a number and one of s, m, h, d, w"),
        ({"within": "-1h"}, "a duration is a number"),
        ({"within": "48h", "time": "nope"}, "no column 'nope' in this view"),
        ({"within": "48h", "time": "key"}, "a time is a number of seconds, or text such as"),
        ({"on": "nope"}, "no column 'nope'"),
        ({"on": ["stay", "nope"]}, "no column 'nope'"),
        ({}, "2 samples have several partners on subject: say how near in time"),
        ({"on": "key", "within": "1h"}, "no sample has a partner in the other view"),
    ],
)
def test_joins_that_cannot_be_made(catalog: StoreCatalog, how: dict[str, Any], says: str) -> None:
    one, other = sides(catalog)
    with pytest.raises(UsageError, match=says):
        one.join(other, **how)


def test_a_column_may_be_named_twice(catalog: StoreCatalog) -> None:
    one, other = sides(catalog)
    expected = pairs(one.join(other, within="60h"))
    for on in (["subject", "split"], ["subject", "subject"]):
        assert pairs(one.join(other, on=on, within="60h")) == expected
    assert pairs(one.join(other, on=["stay", "time"], within="0s"))[0] == ("e000", "c003")


def test_both_views_with_a_part_of_one_name_are_refused(catalog: StoreCatalog) -> None:
    one, _ = sides(catalog)
    with pytest.raises(UsageError, match="both views have a part 'ecg'"):
        one.join(one, within="48h")


def test_views_of_different_versions_of_a_dataset_are_refused(catalog: StoreCatalog) -> None:
    one, other = sides(catalog)
    older = View(replace(other.info, datasets={"ecg": "f" * 12}), other.source)
    with pytest.raises(UsageError, match="different versions of ecg"):
        one.join(older, within="48h")


def test_a_bad_sample_of_a_joined_view_has_no_stand_in(catalog: StoreCatalog) -> None:
    one, other = sides(catalog)
    loader = ropeway.StreamingLoader(
        one.join(other, within="60h"), 2, parts=["ecg"], on_bad=ropeway.substitute(limit=3)
    )
    with pytest.raises(UsageError, match="no stand-in with the same partners"):
        next(iter(loader))


@pytest.mark.parametrize(
    ("text", "value"), [("48h", 172800), ("1.5d", 129600), ("90s", 90), ("2m", 120), ("1w", 604800)]
)
def test_durations(text: str, value: float) -> None:
    assert joins.seconds(text) == value


def carried(batches: Any) -> dict[str, str]:
    """Key → the partner whose note came with it, of batches in which no sample is there twice."""
    found = dict[str, str]()
    for batch in batches:
        notes = batch.get("note", [None] * len(batch["__key__"]))
        assert not found.keys() & set(batch["__key__"])
        found |= {
            key: f"c{int(note.split()[1]):03d}" if note else ""
            for key, note in zip(batch["__key__"], notes, strict=True)
        }
    return found


def test_a_joined_view_stops_and_goes_on_in_another_world(tmp_path: Path) -> None:
    one, other = sides(many(tmp_path))
    joined = one.join(other, within="20h", missing="keep")
    wanted: dict[str, Any] = {"seed": 1, "parts": ["ecg", "note"]}
    alone = ropeway.NumpyLoader(joined, global_batch_size=4, rank=0, world_size=1, **wanted)
    batches = iter(alone)
    first, state = [next(batches) for _ in range(3)], alone.state_dict()
    ranks = [ropeway.NumpyLoader(joined, global_batch_size=4, rank=r, world_size=2, **wanted) for r in range(2)]
    for loader in ranks:
        loader.load_state_dict(state)
    assert carried([*first, *(batch for loader in ranks for batch in loader)]) == dict(pairs(joined))


def test_joined_views_are_mixed_grouped_and_read_in_part(tmp_path: Path) -> None:
    catalog = many(tmp_path)
    one, other = sides(catalog)
    joined = one.join(other, within="20h", missing="keep")
    expected = dict(pairs(joined))
    parts: dict[str, Any] = {"ecg": ropeway.Slab(0, 1), "note": ropeway.Whole()}
    for how in (ropeway.Groups(2, then="time"), 4):
        assert carried(ropeway.NumpyLoader(joined, how, tail="wrap" if how == 4 else "drop", parts=parts)) == expected
    mix = ropeway.mix({joined: 1, one.limit(30): 1})
    given = [batch for batch in ropeway.NumpyLoader(mix, 3, parts=parts) if batch["__source__"] == "ecg+cxr"]
    assert len(given) > 10
    assert carried(given).items() <= expected.items()
    catalog.save(joined, "pairs")
    again = ropeway.connect(str(tmp_path / "store")).view("pairs")
    rows = ropeway.StreamingDataset(again, 4, parts=["note"], tail="drop")
    assert carried(rows) == expected
