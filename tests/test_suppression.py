"""Counts for those who may not read: without small cells, and of no use to whoever subtracts answers."""

import hashlib
from collections import Counter
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import guarded
import ropeway
import tiny_store
from guarded import make_grant, make_token
from ropeway import manifest as m
from ropeway.catalog import Stats, StoreCatalog
from ropeway.errors import AccessDenied, NotFound, QueryError
from ropeway.query import Query
from ropeway.stores import Store, open_store
from ropeway_server.suppression import REACH, SMALL, STEP, Suppression
from serving import serving

PEOPLE = 400
TASK = m.Task(id="task-closed", type="multiclass", classes=("common-closed", "rare-closed"))
META = {"rank": "integer", "site": "integer", "ill": "boolean"}


def publish(
    store: Store, dataset: str, *, people: int = PEOPLE, subjects: bool = True, version: str = "0" * 12
) -> None:
    """Person i has the rank i, every third two samples; each fourth is ill, those below 5 have the rare class."""
    samples = [
        tiny_store.Sample(
            key=f"key-{i:03d}-{time}", parts={"x": ("txt", b"content")}, subject=f"person-{i}" if subjects else None,
            split="test" if i == 7 else "train", labels={TASK.id: int(i < 5)},
            meta={"rank": i, "site": i % 3, "ill": drawn(i) < 64},
        )
        for i in range(people)
        for time in range(1 + (i % 3 == 0))
    ]  # fmt: skip
    tiny_store.build(store, dataset, samples, tasks=[TASK], meta=META, access="restricted", version=version)


def drawn(person: int) -> int:
    return hashlib.sha256(f"{person}".encode()).digest()[0]


ILL = [i for i in range(PEOPLE) if drawn(i) < 64]


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> StoreCatalog:
    store = open_store(tmp_path_factory.mktemp("store"))
    publish(store, "closed")
    publish(store, "apart", subjects=False)
    return StoreCatalog(store)


def ask(
    catalog: StoreCatalog, *by: str, where: str | None = None, task: str | None = None, secret: int = 1,
    datasets: tuple[str, ...] = ("closed",),
) -> Stats:  # fmt: skip
    """What somebody hears who may count these datasets and not read them."""
    asked = Query(datasets=datasets, where=where, task=task)
    return suppressed(catalog, secret).count(by, asked, catalog.current(), set(datasets))


@lru_cache(maxsize=16)
def suppressed(catalog: StoreCatalog, secret: int) -> Suppression:
    return Suppression(catalog, bytes([secret]) * 32)


def number(found: Stats, what: str = "samples") -> int:
    """Of the one row, or none."""
    return int(found[0][what] or 0) if found else 0


# ---- what is told


def test_small_cells_are_left_out_and_others_are_near_the_truth(catalog: StoreCatalog) -> None:
    for secret in range(12):
        assert ask(catalog, "rank", secret=secret) == []  # one person each
        labels = {row["label"]: row for row in ask(catalog, "label", task=TASK.id, secret=secret)}
        assert set(labels) == {"common-closed"}
        for dataset, most in (("closed", SMALL - 1), ("apart", 7)):  # without subjects each sample may be a person
            assert ask(catalog, where=f"rank < {most}", datasets=(dataset,), secret=secret) == []
        for count, told in ((100, 134), (PEOPLE, 534)):
            (row,) = ask(catalog, where=f"rank < {count}", secret=secret)
            samples, subjects = int(row["samples"] or 0), int(row["subjects"] or 0)
            assert samples % STEP == subjects % STEP == 0
            assert abs(samples - told) <= REACH + STEP / 2
            assert abs(subjects - count) <= REACH + STEP / 2
            assert row["bytes"] is None


def test_the_same_people_give_the_same_answer_however_they_are_asked_for(catalog: StoreCatalog) -> None:
    ways = ["rank >= 0", "rank < 400", "rank is not null", "site in (0, 1, 2)", "ill or not ill", "has('x')"]
    answers = {str(ask(catalog, where=where)) for where in ways} | {str(ask(catalog)), str(ask(catalog, task=TASK.id))}
    assert len(answers) == 1
    by_site = {row["site"]: row for row in ask(catalog, "site")}
    for site in range(3):
        (alone,) = ask(catalog, where=f"site = {site}")
        assert by_site[site] == {"site": site, **alone}
    assert ask(catalog, "dataset", datasets=("closed", "apart"))[1:] != []
    assert {str(ask(catalog, "site", secret=secret)) for secret in range(10)} != {str(ask(catalog, "site"))}


def test_the_same_people_give_the_same_answer_in_every_version_and_replica(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    publish(store, "closed")
    before = ask(StoreCatalog(store), "site", "ill")
    publish(store, "closed", people=PEOPLE + 60, version="1" * 12)
    grown = StoreCatalog(store)
    assert ask(grown, "site", "ill", where="rank < 400") == before
    assert ask(grown, "site", "ill") != before


def test_random_numbers_are_kept_of_the_version_that_is_counted_alone(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    suppression = Suppression(StoreCatalog(store), b"s" * 32)
    for version in range(3):
        publish(store, "closed", people=20, version=f"{version}" * 12)
        current = StoreCatalog(store).current()
        for _ in range(2):
            suppression.count([], Query(), current, {"closed"})
        assert [known for known, _ in suppression._drawn.values()] == [f"{version}" * 12]


def test_exact_counts_of_what_may_be_read_stay_exact_beside_others(catalog: StoreCatalog) -> None:
    suppression = Suppression(catalog, b"s" * 32)
    found = suppression.count(["dataset"], Query(), catalog.current(), {"closed"})
    rows = {row["dataset"]: row for row in found}
    (exact,) = catalog.stats(["dataset"], datasets=["apart"])
    assert rows["apart"] == exact
    assert rows["closed"]["bytes"] is None
    total = suppression.count([], Query(), catalog.current(), {"closed"})
    assert number(total) == number([rows["closed"]]) + number([exact])
    assert suppression.count(["site"], Query(), catalog.current(), set()) == catalog.stats(["site"])


def test_a_line_about_a_dataset_is_no_more_exact_than_other_answers(catalog: StoreCatalog) -> None:
    suppression = Suppression(catalog, b"s" * 32)
    (line,) = suppression.described([manifest for manifest in catalog.current() if manifest.dataset == "closed"])
    (total,) = suppression.count([], Query(datasets=("closed",)), catalog.current(), {"closed"})
    assert (line.samples, line.subjects) == (total["samples"], total["subjects"])
    (train,) = suppression.count(["split"], Query(datasets=("closed",)), catalog.current(), {"closed"})
    assert dict(line.splits) == {"train": train["samples"], "test": 0}
    assert (line.bytes, line.shards) == (0, 0)


@given(st.integers(0, PEOPLE), st.integers(0, PEOPLE), st.integers(1, 200))
def test_nothing_below_the_smallest_cell_is_ever_told(catalog: StoreCatalog, one: int, other: int, secret: int) -> None:
    where = f"rank >= {min(one, other)} and rank < {max(one, other)} and ill"
    people = len([i for i in ILL if min(one, other) <= i < max(one, other)])
    for row in ask(catalog, where=where, secret=secret):
        assert people >= SMALL
        assert STEP <= int(row["subjects"] or 0) <= int(row["samples"] or 0)


# ---- attacks


def test_a_total_less_its_rest_does_not_give_a_small_cell(catalog: StoreCatalog) -> None:
    """Five people have the rare class: of the whole, and of parts of it, with and without them."""
    differences = Counter[int]()
    for site in (None, 0, 1, 2):
        within = "rank >= 0" if site is None else f"site = {site}"
        whole = number(ask(catalog, where=within), "subjects")
        rest = number(ask(catalog, where=f"{within} and not label = 'rare-closed'", task=TASK.id), "subjects")
        differences[whole - rest] += 1
        parts = ask(catalog, "label", where=within, task=TASK.id)
        assert [row["label"] for row in parts] == ["common-closed"]
        assert number(parts, "subjects") == rest  # the part is the rest, and no more is known by asking twice
    assert all(difference % STEP == 0 for difference in differences)


def steps(counts: list[int]) -> list[int]:
    """How many of people that were added one by one are counted at each time, as far as answers rounded down to tens
    tell: where one steps up, the count is that multiple of ten."""
    known, last = [], counts[0]
    for count in counts:
        known.append(count if count != last else -1)
        last = count
    return known


ONE_BY_ONE = range(60, 180)


@pytest.fixture(scope="module")
def growing(catalog: StoreCatalog) -> list[int]:
    """What is told of so many people, each time of one more."""
    return [number(ask(catalog, where=f"rank < {rank}"), "subjects") for rank in ONE_BY_ONE]


def test_adding_people_one_by_one_does_not_tell_where_a_count_steps_up(growing: list[int]) -> None:
    """The attack by which rounding alone is undone: at each step of a rounded count the exact one is known."""
    exact = list(ONE_BY_ONE)
    rounded = [count - count % STEP for count in exact]

    def learnt(answers: list[int]) -> tuple[int, int]:
        guesses = [(guess, true) for guess, true in zip(steps(answers), exact, strict=True) if guess > 0]
        return sum(guess == true for guess, true in guesses), len(guesses)

    right, tried = learnt(rounded)
    assert right == tried >= 5  # rounding alone: every guess is right
    right, tried = learnt(growing)
    assert tried > 15  # the answers go up and down on the way
    assert right / tried < 0.3


def test_one_person_more_is_not_seen_in_an_answer(growing: list[int]) -> None:
    """Who is known to be in one of two filters: the larger answer does not tell which."""
    larger = Counter((more > without) - (more < without) for without, more in pairwise(growing))
    assert larger[1] < 60
    assert larger[-1] > 10


# ---- the service


def test_counts_through_the_service(tmp_path: Path, database_url: str) -> None:
    store = open_store(tmp_path / "store")
    guarded.build(store, "free")
    publish(store, "closed")
    token = make_token(database_url)
    make_grant(database_url, dataset="closed", level="count")
    answers = list[object]()
    for _ in range(2):
        with serving(str(tmp_path / "store"), database_url) as url:
            catalog = ropeway.connect(url, token)
            (closed,) = [one for one in catalog.datasets() if one.id == "closed"]
            (total,) = catalog.stats([], datasets=["closed"])
            assert (closed.samples, closed.subjects, closed.bytes) == (total["samples"], total["subjects"], 0)
            assert total["bytes"] is None
            assert abs(int(total["samples"] or 0) - 534) <= REACH + STEP / 2
            assert catalog.stats(["rank"], datasets=["closed"]) == []
            rows = catalog.stats(["dataset"])
            assert {row["dataset"]: row["bytes"] is None for row in rows} == {"free": False, "closed": True}
            assert all(row["dataset"] != "closed" for row in catalog.stats(["dataset", "subject"]))
            with pytest.raises(NotFound):
                catalog.manifest("closed")
            with pytest.raises(QueryError, match="unknown dataset 'closed'"):
                catalog.query(datasets=["closed"])
            with pytest.raises(AccessDenied, match="only count these: closed; and not by key or subject"):
                catalog.stats(["subject"], datasets=["closed"])
            assert "403" in guarded.call("GET", f"{url}/openapi.json").json()["paths"]["/v1/stats"]["get"]["responses"]
            answers.append((closed, total, catalog.stats(["site", "ill"], datasets=["closed"])))
    assert answers[0] == answers[1]  # after a restart, too
