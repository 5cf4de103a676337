"""Which rows a condition holds for, where several datasets are asked together."""

import subprocess
import sys
from pathlib import Path

import pytest

import ropeway
import tiny_store
from ropeway import engine, matching
from ropeway.errors import ChecksumError
from ropeway.indexed import Indexed, load
from ropeway.manifest import Manifest
from ropeway.stores import Store, open_store


@pytest.fixture
def store(tmp_path: Path) -> str:
    """`few` and `same` have a column of few texts, `many` has only different ones, `real` has ages with a fraction."""
    for name, ages, sites in (
        ("few", range(40), [f"s{i % 3}" for i in range(40)]), ("same", range(7, 60), [f"s{i % 2}" for i in range(53)]),
        ("many", range(20), [f"s{i}" for i in range(20)]), ("real", range(30), [None] * 30),
    ):  # fmt: skip
        kind = "number" if name == "real" else "integer"
        content = [
            tiny_store.Sample(key=f"{name}-{age:03d}", parts={"x": ("bin", b"x")}, meta={"age": age, "site": site})
            for age, site in zip(ages, sites, strict=True)
        ]
        tiny_store.build(open_store(tmp_path), name, content, tasks=(), meta={"age": kind, "site": "string"})
    return str(tmp_path)


def keys(store: str, where: str) -> list[str]:
    return [str(key) for key in ropeway.connect(store).query(where=where).table().keys.to_pylist()]


def test_each_dataset_gives_its_own_rows(store: str) -> None:
    assert keys(store, "age >= 6 and site = 's1'") == sorted(
        [f"few-{i:03d}" for i in range(6, 40) if i % 3 == 1] + [f"same-{i + 7:03d}" for i in range(53) if i % 2]
    )
    assert keys(store, "site is null and age < 2.5") == ["real-000", "real-001", "real-002"]
    assert keys(store, "site = 's19' or (dataset = 'same' and age = 59)") == ["many-019", "same-059"]
    assert keys(store, "not (age < 38)") == ["few-038", "few-039", *(f"same-{i:03d}" for i in range(38, 60))]


def test_datasets_give_their_own_rows_in_whatever_order_they_were_read(store: str) -> None:
    catalog = ropeway.connect(store)
    for first in ("same", "few"):
        assert catalog.query(datasets=[first], where="age >= 30").samples == {"same": 30, "few": 10}[first]
    found = catalog.query(where="age >= 30 and site = 's1'").table().keys.to_pylist()
    assert found == [f"few-{i:03d}" for i in range(30, 40) if i % 3 == 1] + [
        f"same-{i + 7:03d}" for i in range(23, 53) if i % 2
    ]


def test_a_damaged_index_lets_the_others_be_read_once(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    index = next(Path(store).glob("many/*/index/*.parquet"))
    index.write_bytes(index.read_bytes()[:-1])
    read = list[str]()

    def noted(store: Store, manifest: Manifest, first: int) -> Indexed:
        read.append(manifest.dataset)
        return load(store, manifest, first)

    monkeypatch.setattr(engine, "load", noted)
    catalog = ropeway.connect(store)
    for _ in range(2):
        with pytest.raises(ChecksumError, match="differs from the manifest's") as caught:
            catalog.stats([])
        assert caught.value.dataset == "many"
    assert read == ["few", "many", "many"]
    assert catalog.stats([], datasets=["few"])[0]["samples"] == 40


def test_datasets_in_which_a_filter_reads_the_same_are_asked_together(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[list[str]]()
    rows = matching._rows

    def told(database: object, alike: list[matching.Condition]) -> object:
        asked.append([condition.indexed.manifest.dataset for condition in alike])
        return rows(database, alike)  # type: ignore[arg-type]

    monkeypatch.setattr(matching, "_rows", told)
    keys(store, "age >= 6")
    assert sorted(asked) == [["few", "many", "same"], ["real"]]
    asked.clear()
    keys(store, "site = 's1'")  # few different texts are kept as numbers of them
    assert sorted(asked) == [["few", "real", "same"], ["many"]]
    asked.clear()
    keys(store, "dataset = 'few' or age > 50")
    assert len(asked) == 4


def test_threads_may_be_the_first_to_read_a_manifest() -> None:
    """msgspec looks into a class when it is first decoded to, and crashes when threads do so at once."""
    looked = "[hasattr(one, '__msgspec_cache__') for one in (m.Manifest, m.Latest, m.Card, Query)]"
    code = f"import ropeway.manifest as m, ropeway.catalog\nfrom ropeway.query import Query\nassert all({looked})"
    subprocess.run([sys.executable, "-c", code], check=True)
