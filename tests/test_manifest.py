"""The manifest: canonical bytes, and no contradiction gets past the door."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ropeway import manifest as m
from ropeway import manifest_reading
from ropeway.errors import FormatError

GOLDEN = Path(__file__).parent / "data" / "format-v1"
URL = "s3://bucket/ptb-xl/manifest.json"

MANIFEST = m.Manifest(
    format=1,
    dataset="ptb-xl",
    version="0123456789ab",
    card=m.Card(
        title="PTB-XL", domain="ECG", modalities=("ecg",), licence="CC BY 4.0", access="open", unit="window",
        citation="Wagner et al. 2020", homepage="https://physionet.org/content/ptb-xl/", description="Ünïcødé",
    ),
    parts=(
        m.Part(name="ecg", kind="signal", format="npy", dtype="<i2", shape=(12, None), axes=("lead", "time"),
               units="µV", sampling_rate=500.0, channels=("I", "II"), samples=3),
        m.Part(name="report", kind="text", format="txt", samples=2),
    ),
    tasks=(
        m.Task(id="ecg-diagnosis", type="multilabel", classes=("NORM", "MI")),
        m.Task(id="sex", type="binary", classes=("F", "M")),
        m.Task(id="age", type="regression", units="years"),
    ),
    splits=(
        m.Split(name="train", samples=2, subjects=2, bytes=4096, shards=1),
        m.Split(name="test", samples=1, subjects=1, bytes=2048, shards=1),
    ),
    shards=(
        m.Shard(path="0123456789ab/train-000000.tar", split="train", bytes=4096, samples=2, sha256="a" * 64),
        m.Shard(path="s3://elsewhere/adopted.tar", split="test", bytes=2048, samples=1, sha256="b" * 64),
    ),
    index=(m.IndexFile(path="0123456789ab/index/00000.parquet", rows=3, bytes=999, sha256="c" * 64),),
    provenance=m.Provenance(
        recipe="ptb-xl", parameters={"limit": 3, "rate": 0.5, "note": None}, software="ropeway 0.1.0",
        source="d" * 64, source_files=7, source_bytes=12345, skipped={"unreadable": 1},
    ),
    withdrawn_subjects=1,
)  # fmt: skip


def test_the_golden_manifest_is_read_for_ever() -> None:
    data = (GOLDEN / "manifest.json").read_bytes()
    assert manifest_reading.loads(data) == MANIFEST
    assert m.dumps(MANIFEST) == data


def test_manifests_of_the_first_release_are_read_for_ever() -> None:
    """They know nothing of windows, questions, targets, studies, namespaces, withdrawn samples and parents."""
    assert manifest_reading.loads((GOLDEN / "manifest-first.json").read_bytes()) == MANIFEST


def test_pointers_of_the_first_release_are_read_for_ever() -> None:
    """They know nothing of erased versions."""
    latest = m.Latest(version="0123456789ab", history=("0123456789ab",))
    assert manifest_reading.loads_latest(b'{"version": "0123456789ab", "history": ["0123456789ab"]}') == latest


def test_the_golden_pointer_is_read_for_ever() -> None:
    latest = m.Latest(version="0123456789ab", history=("ba9876543210", "0123456789ab"))
    data = (GOLDEN / "latest.json").read_bytes()
    assert manifest_reading.loads_latest(data) == latest
    assert m.dumps(latest) == data


def test_totals_and_tasks() -> None:
    assert (MANIFEST.samples, MANIFEST.bytes) == (3, 6144)
    task = MANIFEST.task("ecg-diagnosis")
    assert task is not None
    assert task is MANIFEST.tasks[0]
    assert MANIFEST.task("nothing") is None
    assert task.named([1, 0]) == ["MI", "NORM"]
    assert task.named([]) == []
    assert task.named(None) is None
    assert MANIFEST.tasks[1].named(1) == "M"
    assert MANIFEST.tasks[2].named(61.5) == 61.5


COUNTS = st.integers(0, 2**40)


@given(
    st.text(),
    st.lists(st.tuples(st.integers(0, 1000), COUNTS), max_size=5),
    st.dictionaries(st.text(), st.none() | st.text() | st.integers(-(2**60), 2**60) | st.booleans()),
)
def test_equal_manifests_are_equal_bytes(
    title: str, shards: list[tuple[int, int]], parameters: dict[str, str | int | bool | None]
) -> None:
    samples, size = sum(n for n, _ in shards), sum(b for _, b in shards)
    manifest = m.Manifest(
        format=1, dataset="d", version="0" * 12,
        card=m.Card(title=title, domain="", modalities=(), licence="", access="restricted", unit="cell"),
        parts=(), tasks=(),
        splits=(m.Split(name="valid", samples=samples, subjects=0, bytes=size, shards=len(shards)),),
        shards=tuple(m.Shard(path=f"{i}.tar", split="valid", bytes=b, samples=n, sha256="0" * 64)
                     for i, (n, b) in enumerate(shards)),
        index=(m.IndexFile(path="i", rows=samples, bytes=0, sha256="0" * 64),),
        provenance=m.Provenance(recipe="r", parameters=parameters, software="", source="", source_files=0,
                                source_bytes=0),
    )  # fmt: skip
    data = m.dumps(manifest)
    assert manifest_reading.loads(data) == manifest
    assert m.dumps(manifest_reading.loads(data)) == data


def changed(edit: Callable[[Any], object]) -> bytes:
    stored = json.loads(m.dumps(MANIFEST))
    edit(stored)
    return json.dumps(stored).encode()


def put(*path: str | int, value: object) -> Callable[[Any], object]:
    def edit(stored: Any) -> None:
        for step in path[:-1]:
            stored = stored[step]
        stored[path[-1]] = value

    return edit


def again(*path: str | int) -> Callable[[Any], object]:
    def edit(stored: Any) -> None:
        for step in path:
            stored = stored[step]
        stored.append(stored[0])

    return edit


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (put("format", value=2), "storage format 2 is newer than 1: upgrade ropeway"),
        (put("format", value=0), "storage format 0 is none there ever was"),
        (put("dataset", value="../x"), "not a dataset id: '../x'"),
        (put("version", value="latest"), "not a version: 'latest'"),
        (put("card", "access", value="public"), "access"),
        (lambda stored: stored["card"].pop("licence"), "licence"),
        (lambda stored: stored.pop("provenance"), "provenance"),
        (put("parts", 0, "name", value="ECG"), "not a part name: 'ECG'"),
        (put("parts", 0, "name", value="task"), "may not be named 'task'"),
        (put("parts", 0, "kind", value="smell"), "smell"),
        (put("parts", 0, "samples", value=4), "part ecg is in 4 samples of 3"),
        (put("parts", 0, "samples", value=-1), ">= 0"),
        (put("tasks", 0, "id", value="ECG"), "not a task id: 'ECG'"),
        (put("tasks", 0, "type", value="ranking"), "ranking"),
        (put("tasks", 0, "classes", value=[]), "task ecg-diagnosis is multilabel with no classes"),
        (put("tasks", 1, "classes", value=["a", "b", "c"]), "task sex is binary with a, b, c"),
        (put("tasks", 2, "classes", value=["a"]), "task age is regression with a"),
        (put("tasks", 0, "classes", value=["a", "a"]), "class of task ecg-diagnosis 'a' is there twice"),
        (again("parts"), "part 'ecg' is there twice"),
        (again("tasks"), "task 'ecg-diagnosis' is there twice"),
        (again("splits"), "split 'train' is there twice"),
        (again("shards"), "shard '0123456789ab/train-000000.tar' is there twice"),
        (again("index"), "index file '0123456789ab/index/00000.parquet' is there twice"),
        (put("splits", 0, "name", value="dev"), "dev"),
        (put("splits", 0, "samples", value=3),
         "split train says 3 samples, 4096 bytes, 1 shards; its shards add up to 2"),
        (put("splits", 0, "bytes", value=1), "split train says 2 samples, 1 bytes"),
        (put("splits", 0, "shards", value=2), "split train says 2 samples, 4096 bytes, 2 shards"),
        (put("splits", 0, "subjects", value=3), "split train has 3 subjects in 2 samples"),
        (lambda stored: stored["splits"].pop(), "shard of a split that is not listed: test"),
        (put("shards", 0, "sha256", value="A" * 64), "sha256 is not 64 hex digits"),
        (put("shards", 0, "bytes", value=-1), ">= 0"),
        (put("shards", 0, "path", value="../other/x.tar"), "not a path in the dataset's folder: '../other/x.tar'"),
        (put("shards", 0, "path", value="/etc/passwd"), "not a path in the dataset's folder"),
        (put("shards", 0, "path", value=""), "not a path in the dataset's folder"),
        (put("index", 0, "path", value="s3://elsewhere/x.parquet"), "not a path in the dataset's folder"),
        (put("index", 0, "sha256", value=""), "is not 64 hex digits"),
        (put("index", 0, "rows", value=2), "the index files do not have one row per sample"),
        (put("withdrawn_subjects", value=-1), ">= 0"),
        (put("withdrawn_subjects", value="1"), "withdrawn_subjects"),
    ],
)  # fmt: skip
def test_every_contradiction_is_named(edit: Callable[[Any], object], says: str) -> None:
    with pytest.raises(FormatError) as caught:
        manifest_reading.loads(changed(edit), url=URL)
    assert says in str(caught.value)
    assert URL in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"{}", b'{"format": "1"}', b'{"format": 1}', b"\xff"])
def test_what_is_no_manifest_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError, match="not a manifest"):
        manifest_reading.loads(data, url=URL)


def test_the_newer_format_is_told_before_anything_else_is_looked_at() -> None:
    with pytest.raises(FormatError, match="upgrade ropeway"):
        manifest_reading.loads(b'{"format": 7, "datasets": []}')


def test_fields_of_a_later_release_are_no_error() -> None:
    assert manifest_reading.loads(changed(put("later", value=1))) == MANIFEST


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not a latest.json"),
        (b"{}", "not a latest.json"),
        (b'{"version": "0123456789ab", "history": []}', "not in its history: '0123456789ab'"),
        (b'{"version": "x", "history": ["x"]}', "'x', which is no version"),
    ],
)
def test_what_is_no_pointer_is_refused(data: bytes, says: str) -> None:
    with pytest.raises(FormatError, match=says) as caught:
        manifest_reading.loads_latest(data, url=URL)
    assert URL in str(caught.value)


def test_where_things_lie() -> None:
    assert m.latest_path("d") == "d/latest.json"
    assert m.manifest_path("d", "0" * 12) == "d/000000000000/manifest.json"
    assert m.object_path("d", "v/train-0.tar") == "d/v/train-0.tar"
    assert m.object_path("d", "gs://b/x.tar") == "gs://b/x.tar"
    with pytest.raises(FormatError):
        m.latest_path("../d")
